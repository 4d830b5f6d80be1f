"""Under which key a result is stored: all that decides it, so that no other result is taken.

A key has two parts. ``what`` names the thing itself: the network with its version and weights, the
pixels, the preprocessing, the precision. ``made_by`` names what computed it: the program, torch,
and for float32 the machine. The cache asks for both; a bundle, which is made to be carried
elsewhere, for ``what`` alone, and the report says by what it was made.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

import export
import parity
from chunking.hashing import sha256_bytes
from export.lock import canonical
from export.spec import ModelSpec, Preprocessing
from export.toolchain import package_version
from parity.cases import Pixels

Key = dict[str, Any]

FLOAT64, TORCH32 = "float64", "torch32"
WEIGHTS, PROOF = "weights", "proof"
# The code that a reference is a function of, below export/ and parity/.
CODE = (
    "export/models",
    "export/preprocess.py",
    "export/standin.py",
    "export/checkpoints.py",
    "export/weights.py",
    "export/parts.py",
    "export/ties.py",
    "export/coverage.py",
    "parity/feeds.py",
    "parity/reference.py",
    "parity/yardstick.py",
    "parity/runners/float32.py",
    "parity/runners/float64.py",
    "parity/runners/precision.py",
    "parity/runners/torch_runner.py",
)


def network(spec: ModelSpec) -> dict[str, Any]:
    """A network without its weights."""
    return {
        "model": spec.name,
        "version": spec.version,
        "builder": spec.builder,
        "arguments": sha256_bytes(repr(sorted(spec.builder_arguments.items())).encode()),
    }


def made_by(spec: ModelSpec, *, machine: dict[str, Any] | None = None) -> dict[str, Any]:
    """The program and the packages that compute; the machine where its rounding is in it."""
    found = {"torch": package_version("torch"), "code": code_digest()}
    if not spec.builder.startswith("export."):
        found["builder_code"] = _file_digest(spec.builder.partition(":")[0])
    if spec.name.startswith("timm:"):
        found["timm"] = package_version("timm")
    return found if machine is None else found | {"machine": machine}


def output_key(
    kind: str,
    spec: ModelSpec,
    weights: str,
    preprocessing: Preprocessing,
    pixels: Pixels,
    *,
    second: dict[str, Any] | None,
) -> dict[str, Any]:
    """The ``what`` of a network's outputs on a batch.

    Args:
        kind: ``float64`` or ``torch32``.
        spec: the network.
        weights: the digest of its weights.
        preprocessing: how the pixels become its input.
        pixels: (B, H, W, 3) uint8: the decoded images, cropped, mirrored and stacked as they
            are run, so that their digest covers image files, case and decoder.
        second: what makes the second input: a network with its weights, or None.
    """
    return {
        "kind": kind,
        "network": network(spec),
        "weights": weights,
        "preprocessing": preprocessing.document(),
        "pixels": {"sha256": pixels_digest(pixels), "shape": list(pixels.shape)},
        "second_input": second,
    }


def pixels_digest(pixels: Pixels) -> str:
    """SHA-256 of decoded pixels, row by row."""
    return sha256(np.ascontiguousarray(pixels).reshape(-1).data).hexdigest()


def key_digest(key: Key) -> str:
    """A key as 64 hexadecimal digits."""
    return sha256_bytes(canonical(key).encode())


@cache
def code_digest() -> str:
    """SHA-256 of the code that references are a function of: a changed network has new ones."""
    lines = []
    for part in CODE:
        package, _, below = part.partition("/")
        top = {"export": export, "parity": parity}[package]
        place = Path(str(top.__file__)).parent / below
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            lines.append(f"{part} {path.name} {sha256_bytes(path.read_bytes())}")
    return sha256_bytes("\n".join(lines).encode())


@cache
def _file_digest(module: str) -> str:
    """SHA-256 of an outside network's source file ("" where there is none to read)."""
    try:
        found = importlib.util.find_spec(module)
        return sha256_bytes(Path(found.origin).read_bytes()) if found and found.origin else ""
    except (ImportError, OSError, ValueError):
        return ""
