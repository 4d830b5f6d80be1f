"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PART_PREFIX, PART_SUFFIX = ".", ".part"
_NO_UNNAMED_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
_CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_DESCRIPTORS = Path("/proc/self/fd")


class PendingFile:
    """A file on the disk of its future folder that has no name until it is published.

    On Linux it has no name at all (``O_TMPFILE``), so that even a killed process leaves nothing
    behind. Where the file system has no such files it has a unique name ending in ``.part``. The
    permissions are those of a new file (umask), not 0600.

    Raises:
        OSError: the folder is missing or not writable, or the disk has no ``reserve`` bytes left.
    """

    stream: BinaryIO

    def __init__(self, folder: Path, *, reserve: int = 0) -> None:
        self._folder = folder
        self._part: Path | None = None
        try:
            self.stream = os.fdopen(self._open(), "wb")
            if reserve:
                _reserve(self.stream.fileno(), reserve)
        except BaseException:
            self.discard()
            raise

    def publish(self, path: Path) -> None:
        """Make the data durable, then put the file at ``path`` in one step and close it.

        A file that stood there is replaced; a link is replaced, not followed. The folder is not
        fsynced: call `fsync_folder` once all its files are published.
        """
        self.stream.flush()
        self.stream.truncate()  # a reservation may be longer than what was written
        os.fsync(self.stream.fileno())
        if self._part is None:
            self._part = self._new_name()
            _link(self.stream.fileno(), self._part)
        self._part.replace(path)
        self._part = None
        self.stream.close()

    def discard(self) -> None:
        """Drop the data. Does nothing after `publish`."""
        if hasattr(self, "stream"):
            with suppress(OSError):  # unwritten data of a full disk: it is dropped anyway
                self.stream.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)
            self._part = None

    def _open(self) -> int:
        if hasattr(os, "O_TMPFILE") and _DESCRIPTORS.is_dir():
            try:
                return os.open(self._folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
            except OSError as error:
                if error.errno not in _NO_UNNAMED_FILES:
                    raise
        self._part = self._new_name()
        return os.open(self._part, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)

    def _new_name(self) -> Path:
        return self._folder / f"{PART_PREFIX}{secrets.token_hex(16)}{PART_SUFFIX}"


@contextmanager
def atomic_writer(path: Path, *, reserve: int = 0) -> Iterator[BinaryIO]:
    """Open a nameless file beside ``path`` that replaces it when the block ends well.

    The data is fsynced before the replacement and the folder after it. If the block raises, the
    old file is untouched and nothing of the new one is left. See `PendingFile`.

    Args:
        path: the file to write.
        reserve: bytes of disk to claim before the first write, so that a full disk is known then.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full.
    """
    pending = PendingFile(path.parent, reserve=reserve)
    try:
        yield pending.stream
        pending.publish(path)
    finally:
        pending.discard()
    fsync_folder(path.parent)


def atomic_write(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all (see `atomic_writer`)."""
    with atomic_writer(path) as stream:
        stream.write(data)


def fsync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def current_umask() -> int:
    """The process's umask, read without changing it for other threads where Linux allows."""
    with suppress(OSError, ValueError, StopIteration):
        status = Path("/proc/self/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("Umask:"))
        return int(line.split()[1], 8)
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _reserve(descriptor: int, size: int) -> None:
    """Claim disk space where the system can; a disk that cannot is found full while writing."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in _CANNOT_RESERVE:
                raise


def _link(descriptor: int, path: Path) -> None:
    """Give an ``O_TMPFILE`` file a name: linkat(2) with AT_SYMLINK_FOLLOW, as its page says."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        # Without a folder descriptor CPython calls link(2), which does not follow.
        os.link(_DESCRIPTORS / str(descriptor), path.name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)
