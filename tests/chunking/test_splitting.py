from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chunking.conftest import retrained
from trufor_onnx.chunking import load, merge, split, verify
from trufor_onnx.chunking.folders import folder_lock
from trufor_onnx.errors import (
    ChunkingError,
    ContentError,
    ExternalDataError,
    ManifestError,
    SourceChangedError,
    StorageError,
    UnsafeFileError,
)
from trufor_onnx.files import sha256_file

Make = Callable[..., bytes]
Names = Callable[[Path], list[str]]


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Which file stands where, and when it was written."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_folder_holds_a_manifest_and_pieces_named_by_content(model: Path):
    result = split(model, target=10_000, maximum=20_000)
    assert result.folder == model.with_name("net.chunks")
    assert result.manifest == load(result.folder / "manifest.json")
    assert result.manifest.file.sha256 == sha256_file(model)
    assert result.written_pieces == len(result.manifest.chunks) > 5
    assert result.written_bytes == model.stat().st_size
    assert result.leftovers == 0
    for path in result.folder.glob("*.chunk"):
        assert path.stem == sha256_file(path)


def test_manifest_has_no_trace_of_time_place_or_process(tmp_path: Path, model: Path):
    folders = []
    for name in ("one", "two"):
        place = tmp_path / name / "deep"
        place.mkdir(parents=True)
        (place / "net.onnx").write_bytes(model.read_bytes())
        os.utime(place / "net.onnx", (len(folders), len(folders)))
        command = [sys.executable, "-m", "chunking", "split", str(place / "net.onnx")]
        environment = {**os.environ, "PYTHONHASHSEED": str(len(folders)), "TZ": f"UTC+{len(name)}"}
        subprocess.run([*command, "--target", "9000B"], check=True, env=environment)
        folders.append(place / "net.chunks")
    one, two = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert one == two
    assert len(one) > 5


@settings(max_examples=50, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=3000),
        st.tuples(st.binary(min_size=1, max_size=3), st.integers(0, 3000)).map(
            lambda repeat: repeat[0] * repeat[1]
        ),
    ),
    st.integers(40, 4000),
    st.integers(0, 100),
)
def test_round_trip_of_any_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, target: int, extra: int
):
    folder = tmp_path_factory.mktemp("any")
    (folder / "file").write_bytes(data)
    sizes = {"target": target, "maximum": target + extra}
    result = split(folder / "file", force=True, **sizes)  # also what looks like a pointer
    assert verify(result.folder, full=True).faults == ()
    merged = merge(result.folder, folder / "merged")
    assert merged.file.read_bytes() == data
    again = split(folder / "file", folder / "again", force=True, **sizes)
    assert again.release_id == result.release_id


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 1 << 20, (1 << 20) + 1])
def test_round_trip_of_edge_sizes(tmp_path: Path, make_bytes: Make, size: int):
    (tmp_path / "file").write_bytes(make_bytes(size))
    result = split(tmp_path / "file", target=max(100, size // 50), maximum=1 << 20)
    (tmp_path / "file").unlink()
    assert merge(result.folder).file.read_bytes() == make_bytes(size)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_round_trip_of_a_truncated_model(model: Path, share: float):
    data = model.read_bytes()[: int(model.stat().st_size * share)]
    model.write_bytes(data)
    with pytest.raises(ContentError, match="not a whole ONNX model"):
        split(model, target=5000, maximum=9000)
    result = split(model, target=5000, maximum=9000, force=True)
    assert result.manifest.chunker.name == "fixed"
    model.unlink()
    assert merge(result.folder).file.read_bytes() == data


def test_second_split_touches_nothing(model: Path):
    folder = split(model, target=9000).folder
    before = stamps(folder)
    again = split(model, target=9000)
    assert (again.written_pieces, again.written_bytes) == (0, 0)
    assert stamps(folder) == before


def test_only_what_changed_is_written(model: Path):
    first = split(model, target=9000)
    before = stamps(first.folder)
    data = bytearray(model.read_bytes())
    data[first.manifest.chunks[2].offset + 500] ^= 1
    model.write_bytes(data)
    second = split(model, target=9000)
    assert second.written_pieces == 1
    assert second.leftovers == 1
    after = stamps(second.folder)
    kept = {name for name in before if name != "manifest.json"}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert len(after) == len(before) + 1


def test_equal_size_is_not_trusted(model: Path):
    """A piece of the right name and size with wrong bytes is written anew."""
    result = split(model, target=9000)
    piece = result.folder / result.manifest.chunks[1].file_name
    piece.write_bytes(bytes(piece.stat().st_size))
    assert split(model, target=9000).written_pieces == 1
    assert verify(result.folder).faults == ()


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_stands_in_a_piece_s_place_is_replaced(model: Path, tmp_path: Path, kind: str):
    result = split(model, target=9000)
    piece = result.folder / result.manifest.chunks[1].file_name
    (tmp_path / "copy").write_bytes(piece.read_bytes())
    piece.unlink()
    if kind == "link":
        piece.symlink_to(tmp_path / "copy")
    else:
        os.mkfifo(piece)
    split(model, target=9000)
    assert stat.S_ISREG(piece.lstat().st_mode)
    assert verify(result.folder).faults == ()


def test_folder_in_a_piece_s_place(model: Path):
    result = split(model, target=9000)
    piece = result.folder / result.manifest.chunks[1].file_name
    piece.unlink()
    piece.mkdir()
    with pytest.raises(StorageError, match=piece.name):
        split(model, target=9000)


def test_equal_pieces_are_stored_once(tmp_path: Path, names: Names):
    (tmp_path / "zeros").write_bytes(bytes(1000))
    result = split(tmp_path / "zeros", target=100)
    assert len(result.manifest.chunks) == 10
    assert len(names(result.folder)) == 2
    assert merge(result.folder, tmp_path / "out").file.read_bytes() == bytes(1000)


def test_external_data_is_refused(tmp_path: Path, names: Names):
    tensor = onnx.TensorProto(name="far", data_location=1, data_type=1)
    graph = onnx.helper.make_graph([], "g", [], [], initializer=[tensor])
    (tmp_path / "net.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(ExternalDataError, match=r"net\.onnx: the tensor 'far'"):
        split(tmp_path / "net.onnx")
    assert names(tmp_path) == ["net.onnx"]


def test_manifest_comes_last(model: Path, monkeypatch: pytest.MonkeyPatch):
    """And only when every piece is on the disk."""
    events: list[str] = []
    really_sync, really_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        events.append(f"sync {kind}")
        really_sync(descriptor)

    def replace(source: Path, target: Path) -> Path:
        events.append("manifest" if Path(target).name == "manifest.json" else "piece")
        return really_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    result = split(model, target=9000)
    assert events.count("piece") == len(result.manifest.chunks)
    last_piece = len(events) - 1 - events[::-1].index("piece")
    assert events[last_piece + 1 :] == [
        "sync folder",
        "sync file",
        "manifest",
        "sync folder",
        "sync folder",  # the parent's: the folder is new
    ]


def test_other_file_in_the_same_folder_is_refused(tmp_path: Path, model: Path):
    folder = split(model).folder
    (tmp_path / "net.bin").write_bytes(b"other")
    before = stamps(folder)
    with pytest.raises(ManifestError, match=r"pieces of 'net\.onnx', not of 'net\.bin'"):
        split(tmp_path / "net.bin")
    assert stamps(folder) == before


def test_two_releases_share_a_folder(tmp_path: Path, model: Path, make_bytes: Make):
    older = split(model, target=9000)
    old_data = model.read_bytes()
    (older.folder / "manifest.json").rename(older.folder / "v1.json")
    data = bytearray(old_data)
    data[-3000:-2900] = make_bytes(100)
    model.write_bytes(data)
    newer = split(model, target=9000)
    assert newer.leftovers == 0
    assert verify(newer.folder).faults == verify(newer.folder / "v1.json").faults == ()
    merge(newer.folder / "v1.json", tmp_path / "old")
    merge(newer.folder, tmp_path / "new")
    assert (tmp_path / "old").read_bytes() == old_data
    assert (tmp_path / "new").read_bytes() == data


def test_file_that_changes_while_it_is_read(model: Path):
    old = split(model, target=9000)
    model.write_bytes(retrained(model.read_bytes()))

    def grow(count: int) -> None:
        with model.open("ab") as stream:
            stream.write(b"x" * count)

    with pytest.raises(SourceChangedError, match="changed while"):
        split(model, target=9000, on_bytes=grow)
    assert load(old.folder / "manifest.json") == old.manifest
    assert {fault.kind.value for fault in verify(old.folder).faults} == {"unlisted"}


def test_file_that_becomes_shorter_while_it_is_read(tmp_path: Path, names: Names):
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))

    with pytest.raises(SourceChangedError, match="shorter"):
        split(path, target=100, on_bytes=lambda _count: os.truncate(path, 150))
    assert "manifest.json" not in names(tmp_path / "file.chunks")


def test_full_disk_is_reported_before_writing(
    model: Path, monkeypatch: pytest.MonkeyPatch, names: Names, tmp_path: Path
):
    monkeypatch.setattr("trufor_onnx.files.free_bytes", lambda _folder: 1000)
    with pytest.raises(StorageError, match=r"no space left in .*: 78\.\d KiB needed, 1000 B free"):
        split(model)
    assert names(tmp_path) == ["net.onnx"]


def test_pieces_that_are_there_need_no_space(model: Path, monkeypatch: pytest.MonkeyPatch):
    split(model)
    monkeypatch.setattr("trufor_onnx.files.free_bytes", lambda _folder: 0)
    assert split(model).written_pieces == 0


def test_disk_that_fills_up_meanwhile(
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: Names,
    failing: Callable[[int], Callable[..., None]],
    open_files: Callable[[], int],
):
    old = split(model, target=9000)
    model.write_bytes(retrained(model.read_bytes()))
    before = names(old.folder), open_files()
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC))
    with pytest.raises(StorageError, match="no space left") as caught:
        split(model, target=9000)
    assert "--out" in caught.value.hint
    assert (names(old.folder), open_files()) == before
    assert load(old.folder / "manifest.json") == old.manifest


def test_interrupt(model: Path, names: Names, open_files: Callable[[], int]):
    old = split(model, target=9000)
    model.write_bytes(retrained(model.read_bytes()))
    left = [4]
    before = open_files()

    def interrupt(_count: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split(model, target=9000, on_bytes=interrupt)
    assert open_files() == before
    assert not [name for name in names(old.folder) if name.endswith(".part")]
    assert load(old.folder / "manifest.json") == old.manifest
    assert {fault.kind.value for fault in verify(old.folder).faults} <= {"unlisted"}
    again = split(model, target=9000)
    merge(again.folder, model.with_name("out"))
    assert model.with_name("out").read_bytes() == model.read_bytes()


def test_new_folder_goes_again_if_nothing_came_of_it(model: Path, names: Names, tmp_path: Path):
    def interrupt(_count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split(model, on_bytes=interrupt)
    assert names(tmp_path) == ["net.onnx"]


def test_link_to_the_file_is_followed(model: Path, tmp_path: Path):
    (tmp_path / "link.onnx").symlink_to(model)
    result = split(tmp_path / "link.onnx")
    assert result.manifest.file.name == "link.onnx"
    assert result.manifest.file.sha256 == sha256_file(model)


@pytest.mark.parametrize("kind", ["folder", "pipe", "missing"])
def test_what_cannot_be_split(tmp_path: Path, kind: str, names: Names):
    path = tmp_path / "file"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    before = names(tmp_path)
    with pytest.raises(StorageError if kind == "missing" else UnsafeFileError):
        split(path)
    assert names(tmp_path) == before


def test_name_that_a_manifest_cannot_hold(tmp_path: Path):
    path = tmp_path / "a\nb"
    path.write_bytes(b"x")
    with pytest.raises(ManifestError, match="rename it"):
        split(path)


def test_file_in_the_folder_s_place(model: Path, tmp_path: Path):
    (tmp_path / "net.chunks").write_bytes(b"precious")
    with pytest.raises(StorageError, match="File exists"):
        split(model)
    assert (tmp_path / "net.chunks").read_bytes() == b"precious"


def test_missing_parent_is_not_made_up(model: Path, tmp_path: Path):
    with pytest.raises(StorageError, match="mkdir"):
        split(model, tmp_path / "a" / "b")


def test_broken_manifest_is_replaced(model: Path):
    folder = split(model).folder
    (folder / "manifest.json").write_bytes(b"{")
    split(model)
    assert verify(folder).faults == ()


def test_permissions_are_those_of_new_files(model: Path):
    before = os.umask(0o027)
    try:
        folder = split(model).folder
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o640}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


def test_pieces_are_hashed_right_where_a_block_ends(tmp_path: Path, make_bytes: Make):
    data = make_bytes((3 << 20) + 7)
    (tmp_path / "file").write_bytes(data)
    result = split(tmp_path / "file", target=1 << 20)
    for piece in result.manifest.chunks:
        part = data[piece.offset : piece.end]
        assert piece.sha256 == hashlib.sha256(part).hexdigest()


def test_pruning_meanwhile_is_refused(model: Path):
    folder = split(model).folder
    with (
        folder_lock(folder, exclusive=True),
        pytest.raises(ChunkingError, match="another process"),
    ):
        split(model)
