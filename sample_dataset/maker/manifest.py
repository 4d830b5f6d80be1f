"""``manifest.json`` of the sample pictures: what each file is, and how to know it again.

Canonical: sorted keys, two-space indent, ASCII, one newline at the end; no times, no paths outside
the folder. The digest of a file is of its bytes; ``pixels_sha256`` is of the 8-bit RGB pixels
before they were encoded, row by row, so that another encoder can be told from another picture.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ParityError
from trufor_onnx.files import sha256_bytes
from trufor_onnx.parity.inputs.image_sets import MANIFEST_NAME, SCHEMA_VERSION


class DatasetError(ParityError):
    """The sample pictures cannot be made, read or compared."""


@dataclass(frozen=True)
class Entry:
    """One picture."""

    file: str  # relative to the folder, with /
    label: str  # real, fake
    kind: str  # camera, splice, copy-move, inpainting, blur
    camera: str
    scene: str
    encoding: dict[str, Any]
    sha256: str
    size_bytes: int
    pixels_sha256: str
    original: str | None = None  # the photograph that was forged
    donor: str | None = None  # the other photograph of a splice
    donor_camera: str | None = None
    mask: str | None = None
    mask_sha256: str | None = None
    mask_pixels_sha256: str | None = None
    forged_fraction: float = 0.0  # of the pixels


@dataclass(frozen=True)
class Manifest:
    """All pictures, and with what they were made."""

    seed: str
    entries: tuple[Entry, ...]
    made_with: dict[str, str]


def encode(manifest: Manifest) -> bytes:
    """The manifest's one encoding."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "license": "CC0-1.0 OR Apache-2.0",
        "seed": manifest.seed,
        "made_with": manifest.made_with,
        "images": [asdict(entry) for entry in manifest.entries],
    }
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False)
    return (text + "\n").encode("ascii")


def load(folder: Path) -> Manifest:
    """Read a folder's manifest.

    Raises:
        DatasetError: it is missing, unreadable or of another version.
    """
    path = folder / MANIFEST_NAME
    hint = "make the pictures anew: python -m sample_dataset.maker --out " + str(folder)
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}", hint=hint) from error
    except ValueError as error:
        raise DatasetError(f"{path}: not JSON ({error})", hint=hint) from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise DatasetError(f"{path}: schema version {version}, not {SCHEMA_VERSION}", hint=hint)
    try:
        entries = tuple(Entry(**image) for image in document["images"])
        return Manifest(document["seed"], entries, document["made_with"])
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not a manifest of pictures ({error})", hint=hint) from error


def pixels_sha256(pixels: npt.NDArray[np.uint8]) -> str:
    """The digest of 8-bit pixels, row by row, whatever their layout in memory."""
    return sha256_bytes(np.ascontiguousarray(pixels).tobytes())
