from __future__ import annotations

import errno
import gc
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trufor_onnx.chunking import FaultKind, IntegrityError, Manifest, Piece, Split, merge, split
from trufor_onnx.chunking.manifest import WholeFile, encode
from trufor_onnx.chunking.merging import record
from trufor_onnx.chunking.pipeline import HashingCopy
from trufor_onnx.errors import (
    ChunkingError,
    ManifestError,
    ReplacementError,
    SourceChangedError,
    StorageError,
    UnsafeFileError,
)
from trufor_onnx.files import sha256_bytes

Names = Callable[[Path], list[str]]
RECORD = ".net.onnx.merged.json"
Failing = Callable[[int], Callable[..., None]]


@pytest.fixture
def pieces(model: Path) -> Split:
    """Pieces of the model; the model itself is at ``original``, and an old file in its place."""
    made = split(model, target=9000, maximum=20_000)
    model.rename(model.with_name("original"))
    return made


@pytest.fixture
def old(pieces: Split) -> Path:
    """The destination, with an older file in it, which a merge wrote."""
    put_merged(pieces.file, b"old")
    return pieces.file


def put_merged(path: Path, data: bytes) -> None:
    """Put data where, as it is remembered, an earlier merge wrote it."""
    path.write_bytes(data)
    record(path, WholeFile(path.name, len(data), sha256_bytes(data)))


def original(pieces: Split) -> bytes:
    return (pieces.folder.parent / "original").read_bytes()


def piece(pieces: Split, index: int) -> Path:
    return pieces.folder / pieces.manifest.chunks[index].file_name


def rewrite(pieces: Split, **changes: object) -> Manifest:
    """Replace parts of the manifest by hand."""
    manifest = replace(pieces.manifest, **changes)
    (pieces.folder / "manifest.json").write_bytes(encode(manifest))
    return manifest


def test_merged_file_is_the_original(pieces: Split, model: Path, names: Names):
    done: list[int] = []
    result = merge(pieces.folder, on_bytes=done.append)
    assert (result.file, result.written) == (model, True)
    assert model.read_bytes() == original(pieces)
    assert sum(done) == len(original(pieces))
    assert names(model.parent) == [RECORD, "net.chunks", "net.onnx", "original"]


def test_older_file_is_replaced(pieces: Split, old: Path):
    merge(pieces.folder)
    assert old.read_bytes() == original(pieces)


def test_right_file_is_not_touched(pieces: Split, model: Path):
    merge(pieces.folder)
    before = model.stat()
    for path in pieces.folder.glob("*.chunk"):
        path.unlink()  # not even needed
    again = merge(pieces.folder)
    assert again.written is False
    assert (model.stat().st_ino, model.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_equal_size_is_not_trusted(pieces: Split, old: Path):
    old.write_bytes(bytes(len(original(pieces))))
    assert merge(pieces.folder).written is True
    assert old.read_bytes() == original(pieces)


def test_out(pieces: Split, tmp_path: Path):
    out = tmp_path / "elsewhere.bin"
    assert merge(pieces.folder, out).file == out
    assert out.read_bytes() == original(pieces)


def test_from_inside_the_folder(pieces: Split, model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(pieces.folder)
    merge(Path())
    assert model.read_bytes() == original(pieces)


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_permissions_are_those_of_a_new_file(pieces: Split, old: Path, mask: int):
    old.chmod(0o600)
    before = os.umask(mask)
    try:
        merge(pieces.folder)
    finally:
        os.umask(before)
    assert stat.S_IMODE(old.stat().st_mode) == 0o666 & ~mask


def check_refused(pieces: Split, old: Path, *kinds: FaultKind) -> IntegrityError:
    """Merging fails, says all that is wrong, and leaves the old file and nothing else."""
    before = sorted(path.name for path in old.parent.iterdir())
    gc.collect()  # what earlier tests left open must not be closed in between
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(IntegrityError, match="nothing was written") as caught:
        merge(pieces.folder)
    assert old.read_bytes() == b"old"
    assert sorted(path.name for path in old.parent.iterdir()) == before
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert [fault.kind for fault in caught.value.faults] == list(kinds)
    assert caught.value.exit_code == 1
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("index", range(5))
def test_each_piece_flipped_in_one_bit(pieces: Split, old: Path, index: int):
    path = piece(pieces, index)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0b100
    path.write_bytes(data)
    error = check_refused(pieces, old, FaultKind.CORRUPT)
    assert error.faults[0].index == index


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("size", [0, 1, -1])
def test_each_piece_truncated(pieces: Split, old: Path, index: int, size: int):
    path = piece(pieces, index)
    path.write_bytes(path.read_bytes()[:size])
    error = check_refused(pieces, old, FaultKind.SIZE)
    assert ("empty" if size == 0 else "truncated") in error.faults[0].cause


@pytest.mark.parametrize("index", range(5))
def test_each_piece_missing(pieces: Split, old: Path, index: int):
    piece(pieces, index).unlink()
    check_refused(pieces, old, FaultKind.MISSING)


def test_pieces_swapped(pieces: Split, old: Path):
    one, two = piece(pieces, 1), piece(pieces, 2)
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)
    error = check_refused(pieces, old, FaultKind.SIZE, FaultKind.SIZE)
    # Which is shorter than its place is recognised; the longer one is another file to it.
    assert any("holds the content of piece" in fault.cause for fault in error.faults)


@pytest.mark.parametrize("kind", ["symbolic link", "folder", "pipe", "device"])
@pytest.mark.parametrize("index", [0, 2, 4])
def test_each_piece_replaced(pieces: Split, old: Path, tmp_path: Path, kind: str, index: int):
    path = piece(pieces, index)
    path.rename(tmp_path / "real")
    if kind == "symbolic link":
        path.symlink_to(tmp_path / "real")  # the right bytes, but by way of a link
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        try:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("only root makes devices")
    error = check_refused(pieces, old, FaultKind.UNSAFE)
    assert kind in error.faults[0].cause


def test_git_lfs_pointer(pieces: Split, old: Path):
    digest = pieces.manifest.chunks[1].sha256
    piece(pieces, 1).write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 9000\n"
    )
    error = check_refused(pieces, old, FaultKind.SIZE)
    assert "git-lfs pointer" in error.faults[0].cause
    assert "git lfs pull" in error.hint


def test_all_faults_at_once(pieces: Split, old: Path):
    piece(pieces, 1).unlink()
    piece(pieces, 2).write_bytes(b"")
    data = piece(pieces, 3).read_bytes()
    piece(pieces, 3).write_bytes(data[::-1])
    error = check_refused(pieces, old, FaultKind.MISSING, FaultKind.SIZE, FaultKind.CORRUPT)
    assert [fault.index for fault in error.faults] == [1, 2, 3]
    for fault in error.faults:
        assert fault.name in str(error)


def test_manifest_that_contradicts_itself(pieces: Split, old: Path):
    """Right pieces in another order: only the whole file's digest tells."""
    rewrite(pieces, file=replace(pieces.manifest.file, sha256="0" * 64))
    error = check_refused(pieces, old, FaultKind.FILE_DIGEST)
    assert "contradicts itself" in str(error)


def test_pieces_of_two_releases_mixed(tmp_path: Path, names: Names):
    """As a merge of two branches in git could leave them."""
    (tmp_path / "file").write_bytes(b"a" * 100 + b"b" * 100)
    made = split(tmp_path / "file", target=100)
    (tmp_path / "file").unlink()
    one, two = made.manifest.chunks
    rewrite(made, chunks=(Piece(0, 100, two.sha256), Piece(100, 100, one.sha256)))
    with pytest.raises(IntegrityError) as caught:
        merge(made.folder)
    assert [fault.kind for fault in caught.value.faults] == [FaultKind.FILE_DIGEST]
    assert names(tmp_path) == ["file.chunks"]


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[" * 200_000, b"x" * 2_000_000],
    ids=["empty", "object", "deep", "large"],
)
def test_wrong_manifest(pieces: Split, old: Path, data: bytes):
    (pieces.folder / "manifest.json").write_bytes(data)
    with pytest.raises(ManifestError):
        merge(pieces.folder)
    assert old.read_bytes() == b"old"


def test_folder_without_a_manifest(pieces: Split, old: Path):
    (pieces.folder / "manifest.json").unlink()
    with pytest.raises(ManifestError, match=r"no manifest\.json"):
        merge(pieces.folder)
    assert old.read_bytes() == b"old"


def test_link_at_the_destination_is_replaced(pieces: Split, model: Path, tmp_path: Path):
    (tmp_path / "precious").write_bytes(b"precious")
    model.symlink_to(tmp_path / "precious")
    merge(pieces.folder)
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not model.is_symlink()


def test_link_to_the_right_content_is_not_called_merged(pieces: Split, model: Path):
    model.symlink_to("original")
    assert merge(pieces.folder).written is True
    assert not model.is_symlink()


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_destination_that_nothing_may_replace(pieces: Split, model: Path, kind: str):
    if kind == "folder":
        model.mkdir()
    else:
        os.mkfifo(model)
    with pytest.raises(UnsafeFileError, match=f"is a {kind}") as caught:
        merge(pieces.folder)
    assert "--out" in caught.value.hint


def test_name_in_the_manifest_replaces_no_other_file(pieces: Split, tmp_path: Path):
    """A manifest from elsewhere may say Makefile."""
    rewrite(pieces, file=replace(pieces.manifest.file, name="Makefile"))
    (tmp_path / "Makefile").write_bytes(b"all:")
    with pytest.raises(ChunkingError, match="not replaced unasked") as caught:
        merge(pieces.folder)
    assert (tmp_path / "Makefile").read_bytes() == b"all:"
    assert "--out" in caught.value.hint
    with pytest.raises(ReplacementError, match="would be lost"):
        merge(pieces.folder, tmp_path / "Makefile")
    assert (tmp_path / "Makefile").read_bytes() == b"all:"
    merge(pieces.folder, tmp_path / "Makefile", force=True)
    assert (tmp_path / "Makefile").read_bytes() == original(pieces)
    assert merge(pieces.folder).written is False


def test_name_in_the_manifest_is_used_where_nothing_stands(tmp_path: Path, model: Path):
    made = split(model, tmp_path / "pieces")
    data = model.read_bytes()
    model.unlink()
    assert merge(made.folder).file == model
    assert model.read_bytes() == data


def test_full_disk_is_known_before_the_first_byte(
    pieces: Split, old: Path, monkeypatch: pytest.MonkeyPatch, failing: Failing
):
    done: list[int] = []
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC))
    with pytest.raises(StorageError, match=r"no space left in .*: 78\.\d KiB needed"):
        merge(pieces.folder, on_bytes=done.append)
    assert done == []
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "write"])
def test_disk_that_fails_meanwhile(
    pieces: Split,
    old: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: Failing,
    names: Names,
    number: int,
    call: str,
):
    before = names(old.parent)
    if call == "fsync":
        monkeypatch.setattr(os, "fsync", failing(number))
    else:
        monkeypatch.setattr(HashingCopy, "copy_piece", failing(number))
    with pytest.raises(StorageError, match="error" if number == errno.EIO else "no space"):
        merge(pieces.folder)
    assert old.read_bytes() == b"old"
    assert names(old.parent) == before


def test_interrupt(pieces: Split, old: Path, names: Names, open_files: Callable[[], int]):
    before = names(old.parent), open_files(), threading.active_count()

    def interrupt(_count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(pieces.folder, on_bytes=interrupt)
    assert old.read_bytes() == b"old"
    assert (names(old.parent), open_files(), threading.active_count()) == before


def test_pieces_that_change_between_the_checks(
    pieces: Split, old: Path, monkeypatch: pytest.MonkeyPatch
):
    """Wrong while they are copied, right again when they are looked at."""
    really = HashingCopy.copy_piece

    def wrong(self: HashingCopy, source, offset, size, sink, on_bytes):
        digest = really(self, source, offset, size, sink, on_bytes)
        digest.result()
        other = type(digest)()
        other.set_result("0" * 64)
        return other

    monkeypatch.setattr(HashingCopy, "copy_piece", wrong)
    with pytest.raises(SourceChangedError, match="changed while"):
        merge(pieces.folder)
    assert old.read_bytes() == b"old"


def test_two_merges_at_once(pieces: Split, old: Path, names: Names):
    """Both are in the middle at the same time; both end right."""
    both = threading.Barrier(2, timeout=60)
    met: set[int] = set()
    results = []

    def meet(_count: int) -> None:
        if threading.get_ident() not in met:
            met.add(threading.get_ident())
            both.wait()

    def work() -> None:
        results.append(merge(pieces.folder, on_bytes=meet))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [result.written for result in results] == [True, True]
    assert old.read_bytes() == original(pieces)
    assert names(old.parent) == [RECORD, "net.chunks", "net.onnx", "original"]


def test_missing_destination_folder(pieces: Split, tmp_path: Path):
    with pytest.raises(StorageError, match="mkdir"):
        merge(pieces.folder, tmp_path / "a" / "b")
