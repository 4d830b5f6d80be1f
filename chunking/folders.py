"""Files and folders of pieces: opened, found, locked, and read as the one file that they make."""

from __future__ import annotations

import errno
import fcntl
import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trufor_onnx.chunking.manifest import MANIFEST_NAME, Manifest, load, shown
from trufor_onnx.errors import ChunkingError, FramingError, ManifestError, StorageError, command
from trufor_onnx.files import explained, open_regular

FOLDER_SUFFIX, MODEL_SUFFIX, MANIFEST_SUFFIX = ".chunks", ".onnx", ".json"
LOCK_SUFFIX = ".lock.json"  # beside a model: where it and its weights are from
_NO_LOCKS_HERE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


@dataclass(frozen=True)
class PieceFolder:
    """A folder of pieces, and one manifest of what they make up."""

    path: Path
    manifest_path: Path
    manifest: Manifest


def open_folder(path: Path) -> PieceFolder:
    """Load the manifest of a folder of pieces.

    Args:
        path: the folder, or a manifest in it of any name (a folder may hold several releases).

    Raises:
        ManifestError: the manifest is missing or not right.
        ChunkingError: the path is missing or cannot be read.
    """
    with explained("read", path):
        is_folder = path.is_dir()
        folder, manifest_path = (path, path / MANIFEST_NAME) if is_folder else (path.parent, path)
        if is_folder and not manifest_path.is_symlink() and not manifest_path.exists():
            raise ManifestError(
                f"{path} holds no {MANIFEST_NAME}",
                hint="it is no folder of pieces, or a `split` into it did not end: split again",
            )
    return PieceFolder(folder, manifest_path, load(manifest_path))


def default_folder(file: Path) -> Path:
    """Where the pieces of a file go unless somebody says: ``NAME.onnx`` to ``NAME.chunks``."""
    return file.with_name(file.stem + FOLDER_SUFFIX)


def expand_files(path: Path) -> list[Path]:
    """The files that ``split PATH`` means: the file itself, or all ``*.onnx`` of a folder."""
    if not path.is_dir():
        return [path]
    return _all_in(path, MODEL_SUFFIX, "make them with `make export`, or name a file to split")


def expand_folders(path: Path) -> list[Path]:
    """The folders that a command on ``PATH`` means: itself, or all ``*.chunks`` in it.

    A folder of pieces is one with a manifest or with the suffix; a file is taken as a manifest.
    """
    if not path.is_dir() or path.suffix == FOLDER_SUFFIX or (path / MANIFEST_NAME).exists():
        return [path]
    return _all_in(
        path,
        FOLDER_SUFFIX,
        f"get the folders of pieces, or make them: {command('split', path)}",
    )


def manifests_in(folder: Path) -> dict[str, Manifest]:
    """The right manifests in a folder, by name; what is none stays unlisted: `verify` reports it.

    Raises:
        OSError: the folder cannot be listed.
    """
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == MANIFEST_SUFFIX:
            with suppress(ChunkingError):
                found[path.name] = load(path)
    return found


def listed_in(folder: Path) -> frozenset[str]:
    """The files that the right manifests in a folder account for, themselves included.

    Raises:
        OSError: the folder cannot be listed.
    """
    found = manifests_in(folder)
    return frozenset(found).union(*(manifest.piece_names for manifest in found.values()))


def _all_in(folder: Path, suffix: str, hint: str) -> list[Path]:
    with explained("list", folder):
        found = sorted(path for path in folder.iterdir() if path.name.endswith(suffix))
    if not found:
        raise ChunkingError(f"nothing to do: {shown(str(folder))} holds no *{suffix}", hint=hint)
    return found


@contextmanager
def folder_lock(folder: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold the lock for the block. It ends with the process, also a killed one.

    Where the file system has no locks (some network disks) nothing is held.

    Raises:
        StorageError: another process holds it in a way that excludes this one.
        OSError: the folder cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(
                f"another process is working in {folder}",
                hint="wait until that has ended, then run this again",
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
        yield
    finally:
        os.close(descriptor)


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
