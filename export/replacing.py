"""What is done with a file that is there already: kept, replaced, or never replaced silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from export import lock
from export.errors import ExportError, LockError
from export.spec import ModelSpec
from export.weights import Weights


def existing(path: Path) -> dict[str, Any] | None:
    """The lock of an ONNX file that is there, or None where the file or a readable lock is not."""
    if not path.is_file():
        return None
    try:
        return lock.read_lock(path)
    except LockError:
        return None  # it proves nothing; the export writes it anew


def keeps(
    locked: dict[str, Any], path: Path, spec: ModelSpec, weights: Weights, opset: int, variant: str
) -> bool:
    """Whether the file on disk is whole and was made of the same network, weights and opset.

    The toolchain is not asked for: a release's file is as good when another torch is installed.
    """
    wanted = {
        "model": spec.name,
        "network_version": spec.version,
        "opset": opset,
        "variant": variant,
        "file": lock.file_entry(path),
    }
    return (
        all(locked[key] == value for key, value in wanted.items())
        and locked["weights"]["digest"] == weights.digest
        and locked["weights"]["label"] == weights.label
    )


def require_replaceable(
    path: Path, locked: dict[str, Any] | None, weights: Weights, *, named: bool
) -> None:
    """Refuse to replace a checkpoint's file by stand-in weights that nobody asked for.

    Whoever exported real weights and later runs the command where the checkpoint is not found
    would be left with a file of the same name that knows nothing about images.

    Args:
        path: the ONNX file.
        locked: its lock, or None.
        weights: what it would be replaced with.
        named: the stand-in weights were asked for by name.

    Raises:
        ExportError: that is the case.
    """
    if locked is None or named or weights.kind != "stand-in":
        return
    if locked["weights"]["kind"] != "stand-in":
        raise ExportError(
            f"{path} was made from {locked['weights']['label']}, and no checkpoint is found now; "
            "it is not replaced by stand-in weights",
            hint="name the checkpoint with --weights; or --stand-in "
            f"{weights.seed} to replace the file all the same; or another folder with --out",
        )
