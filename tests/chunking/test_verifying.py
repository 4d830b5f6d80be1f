from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path

import pytest

from trufor_onnx.chunking import Fault, FaultKind, ManifestError, Split, split, verify
from trufor_onnx.chunking import pipeline as parallel_module
from trufor_onnx.chunking.manifest import encode
from trufor_onnx.chunking.pipeline import usable_cores, workers
from trufor_onnx.errors import StorageError

Failing = Callable[[int], Callable[..., None]]


@pytest.fixture
def pieces(model: Path) -> Split:
    return split(model, target=9000, maximum=20_000)


def piece(pieces: Split, index: int) -> Path:
    return pieces.folder / pieces.manifest.chunks[index].file_name


def faults(pieces: Split, *, full: bool = False) -> tuple[Fault, ...]:
    return verify(pieces.folder, full=full).faults


@pytest.mark.parametrize("full", [False, True])
def test_right_folder(pieces: Split, full: bool):
    done: list[int] = []
    result = verify(pieces.folder, full=full, on_bytes=done.append)
    assert result.faults == ()
    assert result.full is full
    assert result.release_id == pieces.release_id
    assert sum(done) == pieces.manifest.file.size * (2 if full else 1)


def test_a_flipped_bit_names_place_digests_and_tensors(pieces: Split):
    index = 2
    expected = pieces.manifest.chunks[index]
    data = bytearray(piece(pieces, index).read_bytes())
    data[-100] ^= 1
    piece(pieces, index).write_bytes(data)
    (fault,) = faults(pieces)
    assert fault.kind is FaultKind.CORRUPT
    assert (fault.index, fault.start, fault.end) == (index, expected.offset, expected.end)
    assert fault.expected == expected.sha256
    assert fault.found
    assert fault.found != expected.sha256
    assert fault.tensors
    assert all(name.startswith("layer") for name in fault.tensors)
    for part in (fault.expected, fault.found, fault.name, str(fault.start), fault.tensors[0]):
        assert part in str(fault)


def test_every_fault_is_reported_at_once(pieces: Split):
    piece(pieces, 0).unlink()
    piece(pieces, 1).write_bytes(b"short")
    piece(pieces, 2).write_bytes(piece(pieces, 2).read_bytes()[::-1])
    piece(pieces, 3).unlink()
    piece(pieces, 3).symlink_to("/dev/zero")
    (pieces.folder / "notes.txt").write_bytes(b"")
    found = faults(pieces, full=True)
    assert [(fault.kind, fault.index) for fault in found] == [
        (FaultKind.MISSING, 0),
        (FaultKind.SIZE, 1),
        (FaultKind.CORRUPT, 2),
        (FaultKind.UNSAFE, 3),
        (FaultKind.UNLISTED, None),
    ]
    assert all(fault.hint for fault in found)


def test_a_piece_in_another_s_place_is_recognised(tmp_path: Path, make_bytes):
    (tmp_path / "file").write_bytes(make_bytes(300))
    made = split(tmp_path / "file", target=100)
    one, two = piece(made, 0).read_bytes(), piece(made, 1).read_bytes()
    piece(made, 0).write_bytes(two)
    piece(made, 1).write_bytes(one)
    assert [fault.cause for fault in faults(made)] == [
        "it holds the content of piece 1",
        "it holds the content of piece 0",
    ]


def test_a_piece_that_cannot_be_read(
    pieces: Split, monkeypatch: pytest.MonkeyPatch, failing: Failing
):
    monkeypatch.setattr(os, "preadv", failing(errno.EIO))
    found = faults(pieces)
    assert {fault.kind for fault in found} == {FaultKind.UNREADABLE}
    assert len(found) == len(pieces.manifest.chunks)
    assert "Input/output error" in str(found[0])


def test_a_repeated_piece_is_reported_wherever_it_stands(tmp_path: Path):
    (tmp_path / "zeros").write_bytes(bytes(300))
    made = split(tmp_path / "zeros", target=100)
    piece(made, 0).write_bytes(b"x" * 100)
    assert [(fault.kind, fault.index) for fault in faults(made)] == [
        (FaultKind.CORRUPT, 0),
        (FaultKind.CORRUPT, 1),
        (FaultKind.CORRUPT, 2),
    ]


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("a" * 64 + ".chunk", "no manifest here lists", "prune"),
        ("." + "b" * 32 + ".part", "killed run", "prune"),
        ("notes.txt", "no part of the release", "move it"),
        (".hidden", "no part of the release", "move it"),
        ("other.json", "no part of the release", "move it"),
    ],
)
def test_unlisted_files(pieces: Split, name: str, words: str, hint: str):
    (pieces.folder / name).write_bytes(b"{}")
    (fault,) = faults(pieces)
    assert fault.kind is FaultKind.UNLISTED
    assert fault.name == name
    assert words in fault.cause
    assert hint in fault.hint


def test_unlisted_things_are_not_opened(pieces: Split):
    os.mkfifo(pieces.folder / "pipe.json")  # reading it would block
    (pieces.folder / "folder").mkdir()
    (pieces.folder / "link").symlink_to("/etc")
    assert {fault.name for fault in faults(pieces)} == {"pipe.json", "folder", "link"}


def test_odd_names_cannot_write_on_the_terminal(pieces: Split):
    (pieces.folder / "a\x1b[2Jb\n").write_bytes(b"")
    (fault,) = faults(pieces)
    assert str(fault).isprintable()


def test_full_finds_a_manifest_that_contradicts_itself(pieces: Split):
    manifest = replace(pieces.manifest, file=replace(pieces.manifest.file, sha256="0" * 64))
    (pieces.folder / "manifest.json").write_bytes(encode(manifest))
    assert faults(pieces) == ()
    (fault,) = faults(pieces, full=True)
    assert fault.kind is FaultKind.FILE_DIGEST
    assert fault.expected == "0" * 64
    assert fault.found == pieces.manifest.file.sha256


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "fixed"}, "not cut where"),
        ({"target": 30}, "not cut where"),
        ({"name": "rolling"}, "does not know"),
        ({"version": 2}, "does not know"),
    ],
)
def test_full_finds_other_cuts(pieces: Split, changes: dict[str, object], words: str):
    chunker = replace(pieces.manifest.chunker, **changes)
    (pieces.folder / "manifest.json").write_bytes(encode(replace(pieces.manifest, chunker=chunker)))
    assert faults(pieces) == ()
    (fault,) = faults(pieces, full=True)
    assert fault.kind is FaultKind.CUTS
    assert words in fault.cause


def test_without_a_right_manifest_nothing_can_be_said(pieces: Split, tmp_path: Path):
    (pieces.folder / "manifest.json").write_bytes(b"{}")
    with pytest.raises(ManifestError):
        verify(pieces.folder)
    (pieces.folder / "manifest.json").unlink()
    with pytest.raises(ManifestError, match="split"):
        verify(pieces.folder)
    with pytest.raises(StorageError):
        verify(tmp_path / "none")


def test_tensors_behind_a_missing_piece_stay_unknown(pieces: Split):
    piece(pieces, 1).unlink()
    piece(pieces, 3).write_bytes(piece(pieces, 3).read_bytes()[::-1])
    missing, corrupt = faults(pieces)
    assert missing.kind is FaultKind.MISSING
    assert corrupt.tensors == ()


def test_interrupt_ends_the_workers_soon(tmp_path: Path, make_bytes, open_files: Callable[[], int]):
    (tmp_path / "file").write_bytes(make_bytes(40 << 20))
    made = split(tmp_path / "file", target=4 << 20)
    before = open_files()
    done: list[int] = []

    def interrupt(count: int) -> None:
        done.append(count)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(made.folder, on_bytes=interrupt)
    assert sum(done) < 40 << 20
    assert open_files() == before


def test_all_usable_cores_work(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 5})
    assert usable_cores() == 4
    with workers(None) as (pool, tick):
        assert pool._max_workers == 4
        tick(1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(500)))
    with workers(None) as (pool, _):
        assert pool._max_workers == parallel_module.MAX_WORKERS  # memory stays bounded
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == os.cpu_count()


def test_work_is_cancelled_when_the_block_raises():
    with pytest.raises(ZeroDivisionError), workers(None) as (pool, tick):
        tick(1)
        raise ZeroDivisionError
    with pytest.raises(CancelledError):
        tick(1)
    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(print)
