"""What the file system says, in words that a user can act on."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from trufor_onnx.errors import ChunkingError, PreprocessError, StorageError, UnsafeFileError

_UNITS = {"": 1, "B": 1}
_UNITS |= {prefix + "iB": 1 << (10 * power) for power, prefix in enumerate("KMGT", 1)}
_UNITS |= {prefix + "B": 1000**power for power, prefix in enumerate("KMGT", 1)}
_BY_LOWER_CASE = {unit.lower(): factor for unit, factor in _UNITS.items()}
_KINDS = (
    (stat.S_ISREG, "regular file"),
    (stat.S_ISLNK, "symbolic link"),
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_HINTS = {
    errno.EACCES: "change its permissions, or choose another place with --out",
    errno.EPERM: "change its permissions, or choose another place with --out",
    errno.EROFS: "the file system is read-only: choose another place with --out",
    errno.ENOENT: "check the path; a missing folder is made with: mkdir -p FOLDER",
    errno.EEXIST: "a file stands there: choose another place with --out",
    errno.ENOTDIR: "a part of the path is a file: choose another place with --out",
    errno.EISDIR: "it is a folder: give the path of a file",
    errno.EFBIG: "the file system or a limit (ulimit -f) allows no file of this size",
    errno.EIO: "the disk reports an error (see dmesg): copy what is there to another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
}
PART_PREFIX, PART_SUFFIX = ".", ".part"
_NO_UNNAMED_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
_CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_DESCRIPTORS = Path("/proc/self/fd")
BLOCK_BYTES = 1 << 20


def parse_size(text: str) -> int:
    """Bytes from text such as ``24MiB``, ``1.5 GiB``, ``45MB`` (10^6) or ``4096``.

    Raises:
        ChunkingError: the text is no size, or not a whole number of bytes above zero.
    """
    match = re.fullmatch(r"\s*([0-9]{1,15})(?:\.([0-9]{1,9}))?\s*([A-Za-z]*)\s*", text)
    factor = _BY_LOWER_CASE.get(match[3].lower()) if match else None
    if match is None or factor is None:
        raise ChunkingError(
            f"{text!r} is not a size", hint="write a number and a unit, as in 24MiB or 45MB"
        )
    decimals = match[2] or ""
    scale: int = 10 ** len(decimals)
    size, rest = divmod(int(match[1] + decimals) * factor, scale)
    if rest or size < 1:
        raise ChunkingError(
            f"{text!r} is not a whole number of bytes above zero",
            hint="write a number and a unit, as in 24MiB or 45MB",
        )
    return size


def format_size(size: int) -> str:
    """Bytes as text with one decimal: ``0 B``, ``1023 B``, ``24.0 MiB``."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable: TiB ends the loop")


def kind_of(mode: int) -> str:
    """What a file is, from ``st_mode``: "regular file", "symbolic link", "device", ..."""
    return next((name for test, name in _KINDS if test(mode)), "special file")


def open_regular(path: Path, *, follow_link: bool = False) -> int:
    """Open a regular file for reading and return its descriptor.

    Nothing else is opened: a pipe would block, a device may answer for ever, and a link leads
    out of the folder that it lies in.

    Args:
        path: the file.
        follow_link: a link is fine; for a path that the user typed, not for one found in a folder.

    Raises:
        UnsafeFileError: it is a link, a folder, a device, a pipe or a socket.
        OSError: it is missing or not readable.
    """
    status = path.stat() if follow_link else path.lstat()
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_link else os.O_NOFOLLOW)
    if stat.S_ISREG(status.st_mode):
        try:
            descriptor = os.open(path, flags)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            status = path.lstat()  # it became a link since
        else:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                return descriptor
            os.close(descriptor)
    raise UnsafeFileError(
        f"{path} is a {kind_of(status.st_mode)}, not a regular file",
        hint="put the file itself there",
    )


@contextmanager
def explained(action: str, path: Path, *, needed: int = 0) -> Iterator[None]:
    """Turn the system's errors inside the block into `StorageError`.

    Args:
        action: what is being done, as in "write": the error reads "could not write PATH".
        path: the file or folder that it is done to.
        needed: bytes that the action takes, named where the disk is full; 0 if unknown.
    """
    try:
        yield
    except OSError as error:
        raise _explain(error, action, path, needed) from error


def check_space(folder: Path, needed: int) -> None:
    """Raise `StorageError` if ``needed`` bytes are more than is free where ``folder`` lies."""
    free = free_bytes(folder)
    if needed > free:
        raise disk_full(folder, needed=needed, free=free)


def free_bytes(folder: Path) -> int:
    """Bytes that a user without special rights can still write where ``folder`` lies."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def disk_full(folder: Path, *, needed: int, free: int | None) -> StorageError:
    """The error for a disk that is too full for ``needed`` bytes (0 if unknown)."""
    need = f": {format_size(needed)} needed" if needed else ""
    rest = f", {format_size(free)} free" if free is not None and needed else ""
    return StorageError(
        f"no space left in {folder}{need}{rest}",
        hint="free some space (or quota), or choose another place with --out",
    )


def _explain(error: OSError, action: str, path: Path, needed: int) -> StorageError:
    if error.errno in _FULL:
        folder = path if path.is_dir() else path.parent
        try:
            free = free_bytes(folder)
        except OSError:
            free = None
        return disk_full(folder, needed=needed, free=free)
    reason = error.strerror or str(error)
    hint = _HINTS.get(error.errno or 0, "check the path and the disk, then run the command again")
    return StorageError(f"could not {action} {path}: {reason}", hint=hint)


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


def sha256_bytes(data: bytes | bytearray | memoryview) -> str:
    """The SHA-256 of a buffer, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's content, read in blocks of 1 MiB into one buffer."""
    with path.open("rb", buffering=0) as stream:
        return sha256_open(stream.fileno())


def sha256_open(
    descriptor: int, *, limit: int | None = None, on_bytes: Callable[[int], None] | None = None
) -> str:
    """The SHA-256 of an open file from its start.

    Args:
        descriptor: the file; its position is neither used nor moved.
        limit: bytes to read at most.
        on_bytes: called with the number of bytes done, block by block.
    """
    digest = hashlib.sha256()
    block = memoryview(bytearray(BLOCK_BYTES))
    position = 0
    while count := os.preadv(
        descriptor, [block if limit is None else block[: limit - position]], position
    ):
        digest.update(block[:count])
        position += count
        if on_bytes:
            on_bytes(count)
    return digest.hexdigest()


def read_regular(path: Path, largest: int) -> bytes:
    """A regular file's bytes. A pipe would be waited for without end, a device has no end.

    Args:
        path: the file; a link to one is followed.
        largest: bytes that it may have.

    Raises:
        PreprocessError: it is no regular file, or too large.
        OSError: it is missing, a folder, or not readable.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise PreprocessError(f"{path}: not a regular file", hint="name a picture's own file")
        if status.st_size > largest:
            raise PreprocessError(
                f"{path}: {status.st_size:,} bytes are too many for a picture",
                hint=f"the limit is {largest:,} bytes",
            )
        return stream.read(largest + 1)
