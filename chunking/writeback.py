"""Start writing to the disk while a file is still being made, so that its fsync is short."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

STEP_BYTES = 16 << 20
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
