"""The versions that decide an exported file's bytes."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

DECIDING = ("torch", "onnx", "onnx-ir", "onnxsim", "numpy")


def toolchain(*more: str) -> dict[str, str]:
    """Version by package, without local suffixes: ``2.13.0+cpu`` and ``2.13.0`` write the same.

    Args:
        more: packages that decide this file's bytes beside the usual ones.
    """
    return {name: package_version(name) for name in (*DECIDING, *more)}


def package_version(name: str) -> str:
    """A package's version without its local suffix, or ``absent``."""
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return "absent"
