"""The manifest: what a folder of pieces holds, in one canonical encoding."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from chunking.errors import ManifestError

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
