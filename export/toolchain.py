"""The versions that decide an exported file's bytes."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

ONNXRUNTIME, ABSENT = "onnxruntime", "absent"
DECIDING = ("torch", "onnx", "onnx-ir", "onnxsim", "numpy")


def toolchain(*more: str) -> dict[str, str]:
    """Version by package, without local suffixes: ``2.13.0+cpu`` and ``2.13.0`` write the same.

    Args:
        more: packages that decide this file's bytes beside the usual ones.
    """
    return {name: package_version(name) for name in (*DECIDING, *more)}


@cache
def onnxruntime_wheel() -> tuple[str, str]:
    """Name and version of the wheel that provides the onnxruntime module; ``absent`` without one.

    Several wheels do (onnxruntime-gpu, onnxruntime-openvino, onnxruntime-directml, nightly ones);
    of two that are installed, the one that wrote its files last is imported. Each writes down its
    name in the module, which is read here and not imported.
    """
    module = find_spec(ONNXRUNTIME)
    for folder in (module.submodule_search_locations or ()) if module else ():
        try:
            text = (Path(folder) / "capi/build_and_package_info.py").read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        given = dict(re.findall(r"""^(package_name|__version__) = ['"]([^'"]+)""", text, re.M))
        if "package_name" in given:
            name = given["package_name"]
            known = _version(name)
            return name, given.get("__version__", known) if known == ABSENT else known
    for name in packages_distributions().get(ONNXRUNTIME, ()) if module else ():
        return name, _version(name)
    return ONNXRUNTIME, ABSENT


def package_version(name: str) -> str:
    """A package's version without its local suffix, or ``absent``.

    Of ``onnxruntime`` that of the wheel which provides the module, whatever that is called.
    """
    return onnxruntime_wheel()[1] if name == ONNXRUNTIME else _version(name)


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return ABSENT
