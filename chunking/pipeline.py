"""One pass over a stream of pieces: copied, hashed whole and hashed piece by piece."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import BinaryIO

from trufor_onnx.chunking.folders import OpenFile
from trufor_onnx.errors import SourceChangedError
from trufor_onnx.files import BLOCK_BYTES

BLOCKS = 8  # in flight: what the pipeline holds in memory is this many times BLOCK_BYTES

OnBytes = Callable[[int], None]
"""Called with the number of bytes done since the last call; must be quick and thread-safe."""

# A filled buffer and its length, or where to leave the digest of the piece that ends here, or the
# end of the stream.
_Item = tuple[bytearray, int] | Future[str] | None
MAX_WORKERS = 16  # each holds a block: this many MiB at most
STEP_BYTES = 16 << 20


class HashingCopy:
    """Copies while two threads hash the very buffers that are written.

    The whole stream's digest is sequential and takes a core; the pieces' digests take another.
    A buffer goes from the caller, who reads and writes, to the first thread, to the second, and
    back. Use as a context manager: the threads end with the block.

    ``whole`` is the SHA-256 of all bytes copied, once `finish` has returned.
    """

    def __init__(self) -> None:
        self._free: SimpleQueue[bytearray] = SimpleQueue()
        for _ in range(BLOCKS):
            self._free.put(bytearray(BLOCK_BYTES))
        self._to_whole: SimpleQueue[_Item] = SimpleQueue()
        self._to_piece: SimpleQueue[_Item] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._hash_whole, name="sha256-whole", daemon=True),
            threading.Thread(target=self._hash_pieces, name="sha256-pieces", daemon=True),
        ]
        self.whole = ""

    def __enter__(self) -> HashingCopy:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.finish()

    def copy_piece(
        self,
        source: OpenFile,
        offset: int,
        size: int,
        sink: BinaryIO,
        on_bytes: OnBytes | None = None,
    ) -> Future[str]:
        """Copy ``size`` bytes from ``offset`` of ``source`` to ``sink``.

        Returns:
            The piece's SHA-256, known soon after the copy.

        Raises:
            SourceChangedError: the source ends too early.
            StorageError: it cannot be read.
            OSError: the sink cannot be written.
        """
        position, end = offset, offset + size
        while position < end:
            block = self._free.get()
            view = memoryview(block)[: min(len(block), end - position)]
            count = source.read_into(view, position)
            if not count:
                raise SourceChangedError(
                    f"{source.path} became shorter while it was read", hint="run it again"
                )
            sink.write(view[:count])
            self._to_whole.put((block, count))
            position += count
            if on_bytes:
                on_bytes(count)
        digest: Future[str] = Future()
        self._to_whole.put(digest)
        return digest

    def finish(self) -> None:
        """Wait until all is hashed and end the threads; a second call does nothing."""
        if self._threads:
            self._to_whole.put(None)
            for thread in self._threads:
                thread.join()
            self._threads = []

    def _hash_whole(self) -> None:
        digest = hashlib.sha256()
        while (item := self._to_whole.get()) is not None:
            if isinstance(item, tuple):
                block, count = item
                digest.update(memoryview(block)[:count])
            self._to_piece.put(item)
        self.whole = digest.hexdigest()
        self._to_piece.put(None)

    def _hash_pieces(self) -> None:
        digest = hashlib.sha256()
        while (item := self._to_piece.get()) is not None:
            if isinstance(item, tuple):
                block, count = item
                digest.update(memoryview(block)[:count])
                self._free.put(block)
            else:
                item.set_result(digest.hexdigest())
                digest = hashlib.sha256()


def usable_cores() -> int:
    """The cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def workers(on_bytes: OnBytes | None) -> Iterator[tuple[ThreadPoolExecutor, OnBytes]]:
    """A pool of threads, and the progress callback that its work must call block by block.

    If the block raises (Ctrl-C too), work that waits is dropped, and work that runs ends with
    ``CancelledError`` at its next call of the callback.
    """
    stop = threading.Event()

    def tick(count: int) -> None:
        if stop.is_set():
            raise CancelledError
        if on_bytes:
            on_bytes(count)

    pool = ThreadPoolExecutor(min(usable_cores(), MAX_WORKERS), thread_name_prefix="chunking")
    try:
        yield pool, tick
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


_sync = getattr(os, "fdatasync", os.fsync)  # macOS has only fsync


class Writeback:
    """Syncs an open file from a thread, every ``STEP_BYTES``.

    The system reports a failed write to one sync only, which may be ours: it is raised by `wrote`
    or at the end of the block, and the file must then not be published.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="writeback")
        self._running: Future[None] | None = None
        self._unsynced = 0

    def __enter__(self) -> Writeback:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._pool.shutdown()
        if error is None and self._running:
            self._running.result()

    def wrote(self, count: int) -> None:
        """Count bytes that were written.

        Raises:
            OSError: an earlier sync failed.
        """
        self._unsynced += count
        if self._unsynced < STEP_BYTES or (self._running and not self._running.done()):
            return
        if self._running:
            self._running.result()
        self._unsynced = 0
        self._running = self._pool.submit(_sync, self._descriptor)
