import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trufor_onnx.chunking import pipeline as writeback
from trufor_onnx.chunking.pipeline import Writeback


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []
    monkeypatch.setattr(writeback, "_sync", seen.append)
    monkeypatch.setattr(writeback, "STEP_BYTES", 100)
    return seen


def test_syncs_after_every_step(syncs: list[int]):
    with Writeback(7) as running:
        running.wrote(99)
        assert syncs == []
        running.wrote(1)
    assert syncs == [7]


def test_small_files_are_left_to_the_final_sync(syncs: list[int]):
    with Writeback(7) as running:
        running.wrote(99)
    assert syncs == []


def test_a_failed_sync_is_raised_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: Callable[[int], Callable[..., None]]
):
    """The system reports it once: swallowed here, the final fsync would call the file good."""
    monkeypatch.setattr(writeback, "_sync", failing(errno.EIO))
    monkeypatch.setattr(writeback, "STEP_BYTES", 1)
    with (tmp_path / "file").open("wb") as stream:
        with pytest.raises(OSError, match=os.strerror(errno.EIO)), Writeback(stream.fileno()) as w:
            w.wrote(1)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)), Writeback(stream.fileno()) as w:
            w.wrote(1)
            w._pool.shutdown()  # the sync has ended
            w.wrote(1)


def test_an_error_of_the_block_comes_first(
    monkeypatch: pytest.MonkeyPatch, failing: Callable[[int], Callable[..., None]]
):
    monkeypatch.setattr(writeback, "_sync", failing(errno.EIO))
    monkeypatch.setattr(writeback, "STEP_BYTES", 1)
    with pytest.raises(ZeroDivisionError), Writeback(7) as running:
        running.wrote(1)
        raise ZeroDivisionError
