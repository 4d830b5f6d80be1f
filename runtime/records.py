"""Is an image's work done already? Its record says so, if all that decides it is the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chunking.hashing import sha256_file
from runtime.outputs import SCHEMA_VERSION, Wanted, record_path
from runtime.provenance import Provenance

LARGEST_RECORD = 1 << 20  # bytes


def settings_of(provenance: Provenance, wanted: Wanted) -> dict[str, Any]:
    """What decides the results beside the image, as JSON has it."""
    return {
        "save": sorted(wanted.saves),
        "format": sorted(wanted.formats),
        "models": [model.sha256 for model in provenance.models],
        "provider": provenance.provider,
        "onnxruntime": provenance.onnxruntime,
    }


def done_already(base: Path, image: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of an image's results, if they need not be made again.

    They need not if the record was made with the same settings from the same bytes, and every file
    that it lists is there with the digest that it lists.

    Args:
        base: path and name of the results, without their suffixes.
        image: the image's file.
        settings: see `settings_of`.
    """
    record = _read(record_path(base))
    if record is None or record.get("schema_version") != SCHEMA_VERSION:
        return None
    if record.get("settings") != settings:
        return None
    about, files = record.get("image"), record.get("files")
    if not isinstance(about, dict) or not isinstance(files, dict):
        return None
    if not isinstance(record.get("score"), float):
        return None
    try:
        if not image.is_file() or sha256_file(image) != about.get("sha256"):
            return None
        for name, digest in files.items():
            path = base.parent / Path(name).name
            if not path.is_file() or sha256_file(path) != digest:
                return None
    except OSError:
        return None
    return record


def _read(path: Path) -> dict[str, Any] | None:
    """A record, or None where there is none that can be read: it is then made anew."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_RECORD:
            return None
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
