"""The list of a data set's images: ``manifest.json`` in its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from parity.errors import ParityError

LARGEST = 64 << 20  # bytes


@dataclass(frozen=True)
class Entry:
    """One image of a data set.

    Attributes:
        file: path below the data set's folder, with forward slashes.
        label: ``real``, ``fake`` or "".
        sha256: the digest of the file, or "" where the manifest gives none.
    """

    file: str
    label: str
    sha256: str


def read_manifest(path: Path) -> list[Entry]:
    """The images that a manifest lists: ``{"images": [{"file": ..., "label": ...}, ...]}``.

    Raises:
        ParityError: it is no such manifest, names a file outside its folder, or one twice.
    """
    hint = 'it must hold {"images": [{"file": "real/x.png", "label": "real", "sha256": "..."}]}'
    try:
        if path.stat().st_size > LARGEST:
            raise ParityError(f"{path}: too large for a manifest", hint=hint)
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ParityError(f"{path}: not a readable manifest ({error})", hint=hint) from error
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        raise ParityError(f"{path}: not a manifest of images", hint=hint)
    entries = [_entry(path, image, hint) for image in images]
    names = [entry.file for entry in entries]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ParityError(f"{path}: lists {twice!r} twice", hint=hint)
    return entries


def _entry(path: Path, image: dict[str, Any], hint: str) -> Entry:
    values = [image.get("file"), image.get("label", ""), image.get("sha256", "")]
    if not all(isinstance(value, str) for value in values) or not image.get("file"):
        raise ParityError(f"{path}: an entry has no usable file, label or sha256", hint=hint)
    file, label, sha256 = map(str, values)
    parts = PurePosixPath(file)
    if parts.is_absolute() or ".." in parts.parts or "\\" in file:
        raise ParityError(f"{path}: {file!r} lies outside the data set's folder", hint=hint)
    return Entry(file, label, sha256)
