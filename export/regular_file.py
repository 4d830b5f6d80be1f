"""Reading pictures from places where anything may lie."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from export.errors import PreprocessError


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
