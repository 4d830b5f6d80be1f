"""What the file system says, in words that a user can act on."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chunking.errors import StorageError, UnsafeFileError
from chunking.sizes import format_size

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
    errno.ENOTDIR: "a part of the path is a file: choose another place with --out",
    errno.EISDIR: "it is a folder: give the path of a file",
    errno.EFBIG: "the file system or a limit (ulimit -f) allows no file of this size",
    errno.EIO: "the disk reports an error (see dmesg): copy what is there to another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
}


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
