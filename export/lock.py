"""The lock file beside an ONNX file: what is in it, from where, by digest.

The same document is inside the ONNX file (metadata key ``trufor_onnx.provenance``), without the
file's own digest, which cannot be inside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chunking.atomic import atomic_write
from chunking.hashing import sha256_file
from export.errors import ExportError

LOCK_VERSION = 1
METADATA_KEY = "trufor_onnx.provenance"
LARGEST_LOCK = 16 << 20  # bytes; ours are under 300 KB


def lock_path(onnx_path: Path) -> Path:
    """``x/mit_b2.onnx`` has its lock at ``x/mit_b2.lock.json``."""
    return onnx_path.with_suffix(".lock.json")


def encode(document: Mapping[str, Any]) -> bytes:
    """The one way to write a lock: sorted keys, one entry a line where entries are many."""
    head = {key: value for key, value in document.items() if key != "initializers"}
    text = json.dumps(head, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False)
    entries = ",\n  ".join(canonical(entry) for entry in document["initializers"])
    return (text.removesuffix("\n}") + f',\n "initializers": [\n  {entries}\n ]\n}}\n').encode()


def canonical(value: object) -> str:
    """JSON on one line: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def write_lock(onnx_path: Path, provenance: Mapping[str, Any]) -> Path:
    """Write the lock of a file that is on disk. Returns the lock's path."""
    path = lock_path(onnx_path)
    atomic_write(path, encode({**provenance, "file": file_entry(onnx_path)}))
    return path


def file_entry(onnx_path: Path) -> dict[str, Any]:
    """Name, size and digest of a file, as a lock holds them."""
    return {
        "name": onnx_path.name,
        "size_bytes": onnx_path.stat().st_size,
        "sha256": sha256_file(onnx_path),
    }


def read_lock(onnx_path: Path) -> dict[str, Any] | None:
    """The lock of an ONNX file, or None where it has none.

    Raises:
        ExportError: the lock cannot be read as one.
    """
    path = lock_path(onnx_path)
    if not path.is_file():
        return None
    hint = f"delete it and export again: python -m export {onnx_path.stem}"
    try:
        if path.stat().st_size > LARGEST_LOCK:
            raise ExportError(f"{path}: too large for a lock file", hint=hint)
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{path}: not a lock file ({error})", hint=hint) from error
    wanted = {"lock_version", "model", "weights", "initializers", "file", "opset", "variant"}
    if not isinstance(document, dict) or not wanted <= document.keys():
        raise ExportError(f"{path}: not a lock file (keys are missing)", hint=hint)
    if document["lock_version"] != LOCK_VERSION:
        raise ExportError(
            f"{path}: lock version {document['lock_version']}, this tool reads {LOCK_VERSION}",
            hint=hint,
        )
    return document
