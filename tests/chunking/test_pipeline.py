"""Reading, hashing and writing beside each other: in order, whole, errors first."""

import errno
import hashlib
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.chunking import pipeline
from trufor_onnx.chunking import pipeline as writeback
from trufor_onnx.chunking.folders import OpenFile, opened
from trufor_onnx.chunking.pipeline import HashingCopy, Writeback
from trufor_onnx.errors import SourceChangedError, StorageError


class Memory:
    """A source of bytes in memory that returns at most ``most`` bytes a read."""

    path = Path("memory")

    def __init__(self, data: bytes, most: int = 1 << 30) -> None:
        self.data, self.most = data, most

    def read_into(self, buffer: memoryview, offset: int) -> int:
        part = self.data[offset : offset + min(len(buffer), self.most)]
        buffer[: len(part)] = part
        return len(part)


@given(
    st.binary(max_size=2000), st.lists(st.integers(1, 700)), st.integers(1, 300), st.integers(1, 99)
)
def test_any_pieces_are_copied_and_hashed(data: bytes, sizes: list[int], block: int, most: int):
    sink = io.BytesIO()
    digests, expected, position = [], [], 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "BLOCK_BYTES", block)
        with HashingCopy() as copy:
            for size in sizes:
                size = min(size, len(data) - position)
                part = data[position : position + size]
                digests.append(copy.copy_piece(Memory(data, most), position, size, sink))
                expected.append(hashlib.sha256(part).hexdigest())
                position += size
    assert sink.getvalue() == data[:position]
    assert [digest.result() for digest in digests] == expected
    assert copy.whole == hashlib.sha256(data[:position]).hexdigest()


def test_progress_adds_up(tmp_path: Path, make_bytes: Callable[[int], bytes]):
    path = tmp_path / "file"
    path.write_bytes(make_bytes(3_000_000))
    done: list[int] = []
    with opened(path) as source, HashingCopy() as copy:
        copy.copy_piece(source, 0, 3_000_000, io.BytesIO(), done.append)
    assert sum(done) == 3_000_000
    assert len(done) > 1


def test_source_that_becomes_shorter(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"short")
    with opened(path) as source, HashingCopy() as copy, pytest.raises(SourceChangedError):
        copy.copy_piece(source, 0, 6, io.BytesIO())


def test_read_error_names_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: Callable[[int], Callable[..., None]]
):
    path = tmp_path / "file"
    path.write_bytes(b"data")
    monkeypatch.setattr(os, "preadv", failing(errno.EIO))
    with (
        opened(path) as source,
        HashingCopy() as copy,
        pytest.raises(StorageError, match=f"could not read {path}"),
    ):
        copy.copy_piece(source, 0, 4, io.BytesIO())


def test_threads_end_whatever_happens(make_bytes: Callable[[int], bytes]):
    before = threading.active_count()
    with HashingCopy():
        assert threading.active_count() == before + 2
    assert threading.active_count() == before
    with pytest.raises(KeyboardInterrupt), HashingCopy() as copy:
        copy.copy_piece(Memory(make_bytes(20_000_000)), 0, 20_000_000, io.BytesIO())
        raise KeyboardInterrupt
    assert threading.active_count() == before


def test_memory_is_bounded_when_hashing_is_slow(monkeypatch: pytest.MonkeyPatch):
    """Reading must wait for a free buffer instead of running ahead."""
    go = threading.Event()
    really = hashlib.sha256

    class Slow:
        def __init__(self) -> None:
            self.digest = really()

        def update(self, data: memoryview) -> None:
            go.wait(60)
            self.digest.update(data)

        def hexdigest(self) -> str:
            return self.digest.hexdigest()

    monkeypatch.setattr(pipeline.hashlib, "sha256", Slow)
    read: list[int] = []
    data = bytes(64 << 20)
    with HashingCopy() as copy:
        worker = threading.Thread(
            target=copy.copy_piece, args=(Memory(data), 0, len(data), io.BytesIO(), read.append)
        )
        worker.start()
        worker.join(0.5)
        assert sum(read) <= pipeline.BLOCKS * pipeline.BLOCK_BYTES
        go.set()
        worker.join(60)
    assert sum(read) == len(data)
    assert copy.whole == really(data).hexdigest()


def test_open_file_reads_at_any_offset(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"0123456789")
    with opened(tmp_path / "file") as source:
        assert isinstance(source, OpenFile)
        assert source.read_at(3, 4) == b"3456"
        assert source.read_at(8, 9) == b"89"
        assert source.read_at(10, 1) == b""
        assert source.read_at(99, 1) == b""


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
