"""The lock file beside an ONNX file: what is in it, from where, by digest.

The same document is inside the ONNX file (metadata key ``trufor_onnx.provenance``), without the
file's own digest, which cannot be inside.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from trufor_onnx.chunking.external_data import external_files, file_document
from trufor_onnx.chunking.folders import LOCK_SUFFIX
from trufor_onnx.documents import canonical, parse_json
from trufor_onnx.errors import ExportError, LockError
from trufor_onnx.export.variants import split_stem
from trufor_onnx.files import atomic_write

LOCK_VERSION = 1
METADATA_KEY = "trufor_onnx.provenance"
LARGEST_LOCK = 16 << 20  # bytes; ours are under 300 KB

# The keys that readers rely on, with their types; a list holds items of one shape, and so does
# an object under the key ``...``.
SHAPE: dict[Any, Any] = {
    "lock_version": int,
    "model": str,
    "network_version": str,
    "variant": str,
    "opset": int,
    "toolchain": {...: str},
    "weights": {"label": str, "kind": str, "digest": str, "seed": str},
    "file": {"name": str, "size_bytes": int, "sha256": str},
    "initializers": [{"name": str, "sha256": str, "transform": str, "sources": list}],
}


def lock_path(onnx_path: Path) -> Path:
    """``x/mit_b2.onnx`` has its lock at ``x/mit_b2.lock.json``."""
    return onnx_path.with_suffix(LOCK_SUFFIX)


def encode(document: Mapping[str, Any]) -> bytes:
    """The one way to write a lock: sorted keys, one entry a line where entries are many."""
    head = {key: value for key, value in document.items() if key != "initializers"}
    text = json.dumps(head, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False)
    entries = ",\n  ".join(canonical(entry) for entry in document["initializers"])
    return (text.removesuffix("\n}") + f',\n "initializers": [\n  {entries}\n ]\n}}\n').encode()


def write_lock(onnx_path: Path, document: Mapping[str, Any]) -> Path:
    """Write the lock of a file, the file's own entry included. Returns the lock's path."""
    path = lock_path(onnx_path)
    atomic_write(path, encode(document))
    return path


def file_entry(onnx_path: Path) -> dict[str, Any]:
    """Name, size and digest of a file on disk, as a lock holds them.

    Also those of files beside it that hold its tensors, where they can be followed.
    """
    external: dict[str, Path] = {}
    with suppress(ExportError):  # damaged, or without them: then it is not as its lock says
        external = external_files(onnx_path)
    return file_document(onnx_path, external)


def describes(document: Mapping[str, Any], onnx_path: Path) -> bool:
    """Whether a file, and the one with its weights where there is one, are those of a lock."""
    try:
        return bool(file_entry(onnx_path) == document["file"])
    except OSError:  # not there
        return False


def data_path(onnx_path: Path) -> Path:
    """Where an export keeps weights that a file has no room for: ``x/mit_b2.onnx.data``."""
    return onnx_path.with_name(f"{onnx_path.name}.data")


def read_lock(onnx_path: Path) -> dict[str, Any] | None:
    """The lock of an ONNX file, or None where it has none.

    Raises:
        LockError: the lock cannot be read as one.
    """
    path = lock_path(onnx_path)
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST_LOCK + 1)
    except OSError as error:
        raise LockError(
            f"{path}: not a lock file ({error})", hint=_export_again(onnx_path)
        ) from error
    return decode(data, onnx_path)


def decode(data: bytes, onnx_path: Path) -> dict[str, Any]:
    """The lock of an ONNX file from its bytes, wherever they come from.

    Raises:
        LockError: they are none.
    """
    path, hint = lock_path(onnx_path), _export_again(onnx_path)
    if len(data) > LARGEST_LOCK:
        raise LockError(f"{path}: too large for a lock file", hint=hint)
    try:
        document = parse_json(data)
    except ValueError as error:
        raise LockError(f"{path}: not a lock file ({error})", hint=hint) from error
    version = document.get("lock_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version != LOCK_VERSION:
        raise LockError(
            f"{path}: lock version {version}, this tool reads {LOCK_VERSION}", hint=hint
        )
    fault = _fault(document, SHAPE, "")
    if fault:
        raise LockError(f"{path}: not a lock file ({fault})", hint=hint)
    checked: dict[str, Any] = document
    return checked


def _export_again(onnx_path: Path) -> str:
    model, variant = split_stem(onnx_path.stem)
    return f"export again: python -m export {model}{f' --variant {variant}' if variant else ''}"


def _fault(value: object, shape: Any, where: str) -> str:
    """The first place where a document has not the shape that it should have, or ""."""
    faults: Iterable[str]
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{where or 'the top'} is no object"
        keys = dict.fromkeys(value, shape[...]) if ... in shape else shape
        faults = (
            _fault(value[key], inner, f"{where}.{key}")
            if key in value
            else f"{where}.{key} is absent"
            for key, inner in keys.items()
        )
    elif isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where} is no list"
        faults = (_fault(item, shape[0], f"{where}[{n}]") for n, item in enumerate(value))
    elif not isinstance(value, shape) or isinstance(value, bool):
        return f"{where} is no {shape.__name__}"
    else:  # texts are printed: no line breaks, no control sequences
        return f"{where} is not printable" if shape is str and not value.isprintable() else ""
    return next(filter(None, faults), "").removeprefix(".")
