"""Files and folders of pieces as bytes that can be read at any offset."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trufor_onnx.chunking.manifest import Manifest
from trufor_onnx.errors import ChunkingError, FramingError
from trufor_onnx.files import explained, open_regular


@dataclass(frozen=True)
class OpenFile:
    """An open regular file of ``size`` bytes (see `chunking.framing.RandomAccess`)."""

    path: Path
    descriptor: int
    size: int

    def read_at(self, offset: int, count: int) -> bytes:
        """The ``count`` bytes from ``offset``, or fewer at the end."""
        with explained("read", self.path):
            return os.pread(self.descriptor, min(count, max(0, self.size - offset)), offset)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from ``offset``; returns the number of bytes, fewer at the end."""
        with explained("read", self.path):
            return os.preadv(self.descriptor, [buffer], offset)


@contextmanager
def opened(path: Path, *, follow_link: bool = False) -> Iterator[OpenFile]:
    """Open a regular file for the block.

    Args:
        path: the file.
        follow_link: a link is fine (see `trufor_onnx.files.open_regular`).

    Raises:
        UnsafeFileError: it is no regular file.
        StorageError: it is missing or not readable.
    """
    with explained("read", path):
        descriptor = open_regular(path, follow_link=follow_link)
    try:
        yield OpenFile(path, descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


class JoinedPieces:
    """The file that a folder's pieces make up, without merging them.

    Nothing is verified: what is read may be wrong where a piece is. A piece that is missing, too
    short or no regular file raises `FramingError`, as the framing cannot be followed there.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._pieces = manifest.chunks
        self._offsets = [piece.offset for piece in manifest.chunks]
        self._index = -1
        self._descriptor = -1
        self.size = manifest.file.size

    def read_at(self, offset: int, count: int) -> bytes:
        """The ``count`` bytes from ``offset``, or fewer at the end of the file."""
        parts = []
        end = min(offset + count, self.size)
        while offset < end:
            index = bisect_right(self._offsets, offset) - 1
            part = self._read(index, offset, end)
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close the piece that is open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._index = self._descriptor = -1

    def _read(self, index: int, offset: int, end: int) -> bytes:
        """Bytes from ``offset`` up to ``end`` or the end of the piece, at least one."""
        piece = self._pieces[index]
        path = self._folder / piece.file_name
        try:
            if index != self._index:
                self.close()
                self._descriptor = open_regular(path)
                self._index = index
            part = os.pread(self._descriptor, min(end, piece.end) - offset, offset - piece.offset)
        except (OSError, ChunkingError):
            raise FramingError(f"piece {index} cannot be read") from None
        if not part:
            raise FramingError(f"piece {index} is too short")
        return part
