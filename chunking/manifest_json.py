"""Manifests as bytes. One manifest has one encoding, and only that is read back."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chunking.causes import LFS_POINTER
from chunking.errors import HiddenManifestError, ManifestError
from chunking.hashing import sha256_bytes
from chunking.manifest import MAX_MANIFEST_BYTES, Chunker, Manifest, Piece, WholeFile, shown
from chunking.storage import explained, open_regular

FORMAT, VERSION = "chunked-file", 1
_LONGEST_INTEGER = 19  # digits of 2^63-1


def encode(manifest: Manifest) -> bytes:
    """The canonical bytes: ASCII, sorted keys, one-space indent, integers only, a newline."""
    data = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    return (json.dumps(data, sort_keys=True, indent=1, allow_nan=False) + "\n").encode("ascii")


def release_id(manifest: Manifest) -> str:
    """The SHA-256 of the manifest's bytes: one number for the file and all its pieces."""
    return sha256_bytes(encode(manifest))


def load(path: Path) -> Manifest:
    """Read a manifest from a regular file.

    Raises:
        ManifestError: it is not a right manifest; the message says why (see `decode`).
        HiddenManifestError: it is one, in another form.
        UnsafeFileError: it is a link, a device or a folder.
        StorageError: it cannot be read.
    """
    with explained("read", path), os.fdopen(open_regular(path), "rb") as stream:
        data = stream.read(MAX_MANIFEST_BYTES + 1)
    try:
        return decode(data)
    except ManifestError as error:
        raise type(error)(f"{path}: {error.problem}", hint=error.hint) from None


def decode(data: bytes) -> Manifest:
    """The manifest that ``data`` encodes.

    Raises:
        ManifestError: too large, not JSON, unknown, missing or repeated keys, values of another
            type or out of range, pieces that leave holes or overlap, another encoding of the same
            values.
        HiddenManifestError: a git-lfs pointer to one, converted line ends, a newer version.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise _unreadable(f"larger than {MAX_MANIFEST_BYTES} bytes")
    if data.startswith(LFS_POINTER):
        raise _hidden("a git-lfs pointer instead of the content", hint="run: git lfs pull")
    manifest = _manifest(_parse(data))
    canonical = encode(manifest)
    if canonical == data:
        return manifest
    if canonical == data.replace(b"\r\n", b"\n"):
        raise _hidden(
            "its line ends were converted to CRLF",
            hint="add `*.chunks/* -text` to .gitattributes and check the folder out again",
        )
    raise _unreadable("the same values in another encoding")


def _parse(data: bytes) -> object:
    try:
        tree: object = json.loads(
            data.decode("ascii"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_no_integer,
            parse_constant=_no_integer,
        )
    except RecursionError:
        raise _unreadable("nested too deeply") from None
    except ValueError as error:
        raise _unreadable(f"no JSON ({error})") from None
    return tree


def _manifest(tree: object) -> Manifest:
    if isinstance(tree, dict) and tree.get("format") == FORMAT:
        version = tree.get("version")
        if type(version) is int and version > VERSION:
            raise _hidden(
                f"version {version} where {VERSION} is the newest known", hint="update this program"
            )
    top = _fields(
        tree, "the manifest", format=str, version=int, file=dict, chunker=dict, chunks=list
    )
    if top["format"] != FORMAT:
        raise _unreadable(f"format {shown(top['format'])} where {FORMAT!r} is expected")
    if top["version"] != VERSION:
        raise _unreadable(f"version {top['version']} where {VERSION} is the oldest known")
    return Manifest(
        file=WholeFile(**_fields(top["file"], "file", name=str, size=int, sha256=str)),
        chunker=Chunker(
            **_fields(top["chunker"], "chunker", name=str, version=int, target=int, max=int)
        ),
        chunks=tuple(
            Piece(**_fields(piece, f"piece {index}", offset=int, size=int, sha256=str))
            for index, piece in enumerate(top["chunks"])
        ),
    )


def _fields(tree: object, what: str, **types: type) -> dict[str, Any]:
    """``tree`` as a dict, if it has exactly these keys with values of exactly these types."""
    if not isinstance(tree, dict):
        raise _unreadable(f"{what} is no object")
    if unknown := sorted(tree.keys() - types.keys()):
        raise _unreadable(f"{what} has the unknown key {shown(unknown[0])}")
    for key, wanted in types.items():
        if key not in tree:
            raise _unreadable(f"{what} lacks {key!r}")
        if type(tree[key]) is not wanted:  # `is`: a bool is an int to isinstance
            raise _unreadable(f"{key!r} of {what} is of type {type(tree[key]).__name__}")
    return tree


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in pairs:
        if key in tree:
            raise _unreadable(f"the key {shown(key)} stands twice")
        tree[key] = value
    return tree


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise _unreadable(f"the number {shown(text)} is out of range")
    return int(text)


def _no_integer(text: str) -> int:
    raise _unreadable(f"{shown(text)} is no integer")


def _unreadable(fault: str, *, hint: str = "") -> ManifestError:
    return ManifestError(
        f"not a manifest that `split` writes: {fault}",
        hint=hint or "get manifest.json again, or split the original file again",
    )


def _hidden(fault: str, *, hint: str) -> HiddenManifestError:
    return HiddenManifestError(f"not a manifest that `split` writes: {fault}", hint=hint)
