"""Give finished pieces their names, in threads, while the next ones are being made."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from chunking.atomic import PendingFile
from chunking.errors import ChunkingError
from chunking.hashing import BLOCK_BYTES
from chunking.manifest import PIECE_SUFFIX
from chunking.storage import explained, open_regular

WORKERS = 2  # one syncs to the disk while the other compares or waits for a digest


@dataclass(frozen=True)
class Published:
    """A piece in its place: its digest, and whether it had to be written."""

    sha256: str
    written: bool


class Publisher:
    """Publishes pieces under their digests; one that stands there already is not touched.

    Use as a context manager: at the end of the block all is published, or, if it raised, what
    was not yet published is dropped.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="publish")
        self._waiting: list[tuple[PendingFile, Future[Published]]] = []
        self._done: list[Published] = []

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            self._pool.shutdown(cancel_futures=True)
            for pending, _ in self._waiting:
                pending.discard()

    def put(self, pending: PendingFile, digest: Future[str]) -> None:
        """Publish a piece as soon as its digest is known.

        Blocks while ``WORKERS`` earlier ones are not published: each takes disk space.

        Raises:
            OSError: an earlier one could not be published.
        """
        self._waiting.append((pending, self._pool.submit(self._publish, pending, digest)))
        self._settle(WORKERS)

    def finish(self) -> list[Published]:
        """Wait for all pieces; returns them in the order in which they were put."""
        self._settle(0)
        return self._done

    def _settle(self, allowed: int) -> None:
        while len(self._waiting) > allowed:
            self._done.append(self._waiting[0][1].result())
            del self._waiting[0]

    def _publish(self, pending: PendingFile, digest: Future[str]) -> Published:
        sha256 = digest.result()
        path = self._folder / (sha256 + PIECE_SUFFIX)
        pending.stream.flush()
        written = not _holds(path, pending.stream.fileno(), pending.stream.tell())
        if written:
            with explained("write", path):
                pending.publish(path)
        else:
            pending.discard()
        return Published(sha256, written)


def _holds(path: Path, descriptor: int, size: int) -> bool:
    """Whether a regular file stands at ``path`` with the content of the open file."""
    try:
        other = open_regular(path)
    except (OSError, ChunkingError):
        return False  # missing, or to be replaced
    try:
        if os.fstat(other).st_size != size:
            return False
        return all(
            os.pread(other, BLOCK_BYTES, position) == os.pread(descriptor, BLOCK_BYTES, position)
            for position in range(0, size, BLOCK_BYTES)
        )
    except OSError:
        return False  # a bad disk block: write the piece anew
    finally:
        os.close(other)
