"""The list of a data set's images: ``manifest.json`` in its folder, or any such file.

`parity.dataset` writes one for ``sample_dataset/``; your own needs no more than ``file``::

    {"images": [{"file": "real/x.png", "label": "real", "sha256": "...", "mask": "masks/x.png"}]}
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from parity.dataset.manifest import SCHEMA_VERSION
from parity.errors import ParityError

LABELS = ("real", "fake")
LARGEST = 64 << 20  # bytes
HINT = 'it must hold {"images": [{"file": "real/x.png", "label": "real", "sha256": "..."}]}'
SHA256 = re.compile(r"[0-9a-f]{64}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Entry:
    """One image of a data set.

    Attributes:
        file: path below the data set's folder, with forward slashes.
        label: ``real``, ``fake`` or "".
        sha256: the digest of the file, or "" where the manifest gives none.
        mask: path of the ground truth, white where forged, or "".
    """

    file: str
    label: str
    sha256: str
    mask: str


def read_manifest(path: Path) -> list[Entry]:
    """The images that a manifest lists, in its order. Other keys are left to others.

    Raises:
        ParityError: it is no such manifest, names a file outside its folder, or one twice.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ParityError(f"{path}: too large for a manifest", hint=HINT)
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ParityError(f"{path}: not a readable manifest ({error})", hint=HINT) from error
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        raise ParityError(f"{path}: not a manifest of images", hint=HINT)
    version = document.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise ParityError(
            f"{path}: schema version {version}, this tool reads {SCHEMA_VERSION}", hint=HINT
        )
    entries = [_entry(path, image) for image in images]
    seen: set[str] = set()
    for entry in entries:
        if entry.file in seen:
            raise ParityError(f"{path}: lists {entry.file!r} twice", hint=HINT)
        seen.add(entry.file)
    return entries


def _entry(path: Path, image: dict[str, Any]) -> Entry:
    """One entry, checked. ``null`` stands for a value that is not given."""
    values = [image.get(key) for key in ("file", "label", "sha256", "mask")]
    given = ["" if value is None else value for value in values]
    if not all(isinstance(value, str) for value in given) or not given[0]:
        raise ParityError(f"{path}: an entry has no usable file, label or sha256", hint=HINT)
    file, label, sha256, mask = given
    if label and label not in LABELS:
        raise ParityError(f"{path}: {file!r} is labelled {label!r}, not {LABELS}", hint=HINT)
    if sha256 and not SHA256.fullmatch(sha256):
        raise ParityError(f"{path}: the sha256 of {file!r} is no SHA-256", hint=HINT)
    return Entry(_inside(path, file), label, sha256, _inside(path, mask) if mask else "")


def _inside(path: Path, file: str) -> str:
    """A path that stays in the folder, in its shortest spelling."""
    parts = PurePosixPath(file)
    outside = parts.is_absolute() or ".." in parts.parts or not parts.parts
    if outside or "\\" in file or CONTROL.search(file):
        raise ParityError(f"{path}: {file!r} lies outside the data set's folder", hint=HINT)
    return parts.as_posix()
