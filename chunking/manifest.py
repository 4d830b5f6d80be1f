"""The manifest: what a folder of pieces holds, in one canonical encoding."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trufor_onnx.chunking.causes import LFS_POINTER
from trufor_onnx.documents import parse_json
from trufor_onnx.errors import HiddenManifestError, ManifestError
from trufor_onnx.files import explained, open_regular, sha256_bytes

MANIFEST_NAME = "manifest.json"
PIECE_SUFFIX = ".chunk"
MAX_MANIFEST_BYTES = 1 << 20
MAX_PIECES = 6000  # about 150 bytes each: the manifest stays below its limit
MAX_SIZE = (1 << 63) - 1

_DIGEST = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[a-z][a-z0-9-]{0,31}")
# Controls, surrogates and the marks that turn the direction of writing: none belongs in a name.
_UNFIT = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff/\\\\]"
)
FORMAT, VERSION = "chunked-file", 1
_LONGEST_INTEGER = 19  # digits of 2^63-1


@dataclass(frozen=True)
class WholeFile:
    """The file that the pieces make up: its plain name, size in bytes and SHA-256."""

    name: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        check_name(self.name)
        _check_size("file.size", self.size)
        _check_digest("file.sha256", self.sha256)


@dataclass(frozen=True)
class Chunker:
    """How the file was cut: the method, its version, and the two piece sizes in bytes."""

    name: str
    version: int
    target: int
    max: int

    def __post_init__(self) -> None:
        if not _WORD.fullmatch(self.name):
            raise _bad(f"chunker.name is {shown(self.name)}", "a short lower-case word")
        _check_size("chunker.version", self.version, least=1)
        _check_size("chunker.target", self.target, least=1)
        _check_size("chunker.max", self.max, least=self.target)


@dataclass(frozen=True)
class Piece:
    """A run of the file's bytes, and their SHA-256, which is also the name of its file."""

    offset: int
    size: int
    sha256: str

    def __post_init__(self) -> None:
        _check_size("a piece's offset", self.offset)
        _check_size("a piece's size", self.size, least=1)
        _check_digest("a piece's sha256", self.sha256)

    @property
    def end(self) -> int:
        """The offset of the first byte after the piece."""
        return self.offset + self.size

    @property
    def file_name(self) -> str:
        """The name of the file that holds the piece."""
        return self.sha256 + PIECE_SUFFIX


@dataclass(frozen=True)
class Manifest:
    """A file, how it was cut, and its pieces in order, without holes or overlaps.

    Raises:
        ManifestError: the parts contradict each other.
    """

    file: WholeFile
    chunker: Chunker
    chunks: tuple[Piece, ...]

    def __post_init__(self) -> None:
        if len(self.chunks) > MAX_PIECES:
            raise _bad(f"{len(self.chunks)} pieces", f"at most {MAX_PIECES}")
        position = 0
        sizes: dict[str, int] = {}
        for index, piece in enumerate(self.chunks):
            if piece.offset != position:
                fault = "a hole" if piece.offset > position else "an overlap"
                raise _bad(f"piece {index} starts at {piece.offset}: {fault}", f"{position}")
            if piece.size > self.chunker.max:
                raise _bad(f"piece {index} has {piece.size} bytes", f"at most {self.chunker.max}")
            if sizes.setdefault(piece.sha256, piece.size) != piece.size:
                raise _bad(f"piece {index} repeats a digest with another size", "one size a digest")
            position = piece.end
        if position != self.file.size:
            raise _bad(f"the pieces end at {position}", f"the file's size, {self.file.size}")

    @cached_property
    def piece_names(self) -> frozenset[str]:
        """The names of the files that hold the pieces."""
        return frozenset(piece.file_name for piece in self.chunks)


def check_name(name: str) -> None:
    """Raise `ManifestError` unless ``name`` is a plain file name that is safe on any system."""
    if name in ("", ".", "..") or _UNFIT.search(name) or len(name.encode()) > 255:
        raise ManifestError(
            f"{shown(name)} is no plain file name",
            hint="1 to 255 bytes of UTF-8, no slash, backslash or control character: rename it",
        )


def shown(text: str) -> str:
    """Text from elsewhere, fit for a message: escaped, and cut where it is long."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def _check_size(what: str, value: int, *, least: int = 0) -> None:
    if not least <= value <= MAX_SIZE:
        raise _bad(f"{what} is {value}", f"{least} to 2^63-1")


def _check_digest(what: str, value: str) -> None:
    if not _DIGEST.fullmatch(value):
        raise _bad(f"{what} is {shown(value)}", "64 lower-case hexadecimal digits")


def _bad(found: str, wanted: str) -> ManifestError:
    return ManifestError(
        f"not a right manifest: {found}; right is {wanted}",
        hint="get the folder's manifest.json again, or split the file again",
    )


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
        tree: object = parse_json(
            data.decode("ascii"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_no_integer,
            parse_constant=_no_integer,
        )
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
