"""Work on all cores that ends at once when the caller is interrupted."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager

from chunking.pipeline import OnBytes

MAX_WORKERS = 16  # each holds a block: this many MiB at most


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
