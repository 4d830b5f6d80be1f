"""SHA-256 of files and buffers, in constant memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

BLOCK_BYTES = 1 << 20


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
