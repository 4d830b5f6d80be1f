import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from trufor_onnx import files as atomic
from trufor_onnx.files import PendingFile, atomic_write, atomic_writer, current_umask, fsync_folder

Names = Callable[[Path], list[str]]
Failing = Callable[[int], Callable[..., None]]


@pytest.fixture(params=["unnamed", "named"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With O_TMPFILE, and on a file system that has no such files."""
    if request.param == "named":
        really_open = os.open

        def refuse(path, flags, *args, **kwargs):
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "no such files here")
            return really_open(path, flags, *args, **kwargs)

        monkeypatch.setattr(os, "open", refuse)
    return request.param


@pytest.mark.usefixtures("either_way")
def test_new_file_appears_at_the_end_only(tmp_path: Path, names: Names):
    path = tmp_path / "file"
    with atomic_writer(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


@pytest.mark.usefixtures("either_way")
def test_failure_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, names: Names):
    path = tmp_path / "file"
    atomic_write(path, b"old")
    with pytest.raises(ZeroDivisionError), atomic_writer(path) as stream:
        stream.write(b"new" * 100_000)
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.usefixtures("either_way")
def test_interrupt_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, names: Names):
    path = tmp_path / "file"
    atomic_write(path, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_writer(path) as stream:
        stream.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002])
def test_permissions_are_those_of_a_new_file(tmp_path: Path, mask: int):
    before = os.umask(mask)
    try:
        assert current_umask() == mask
        atomic_write(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


def test_umask_is_known_without_proc(monkeypatch: pytest.MonkeyPatch):
    def no_proc(path: Path) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", no_proc)
    before = os.umask(0o031)
    try:
        assert current_umask() == 0o031
        assert os.umask(0o031) == 0o031  # unchanged
    finally:
        os.umask(before)


@pytest.mark.usefixtures("either_way")
def test_link_is_replaced_not_followed(tmp_path: Path):
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / "file").symlink_to(target)
    atomic_write(tmp_path / "file", b"new")
    assert target.read_bytes() == b"precious"
    assert not (tmp_path / "file").is_symlink()


@pytest.mark.usefixtures("either_way")
def test_reservation_longer_than_the_data_is_cut(tmp_path: Path):
    with atomic_writer(tmp_path / "file", reserve=1 << 20) as stream:
        stream.write(b"short")
    assert (tmp_path / "file").read_bytes() == b"short"


def test_full_disk_is_known_before_the_first_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: Names, failing: Failing
):
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        PendingFile(tmp_path, reserve=1)
    assert names(tmp_path) == []


def test_disk_that_cannot_reserve_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: Failing
):
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.EOPNOTSUPP))
    with atomic_writer(tmp_path / "file", reserve=9) as stream:
        stream.write(b"data")
    assert (tmp_path / "file").read_bytes() == b"data"


def test_data_is_synced_before_the_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    events: list[str] = []
    really_sync, really_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        really_sync(descriptor)

    def replace(source: Path, target: Path) -> Path:
        events.append("replace")
        return really_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    atomic_write(tmp_path / "file", b"data")
    assert events == ["file", "replace", "folder"]


def test_failed_sync_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: Names, failing: Failing
):
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        atomic_write(tmp_path / "file", b"data")
    assert names(tmp_path) == []


def test_discard_after_publish_does_nothing(tmp_path: Path):
    pending = PendingFile(tmp_path)
    pending.stream.write(b"data")
    pending.publish(tmp_path / "file")
    pending.discard()
    assert (tmp_path / "file").read_bytes() == b"data"


@pytest.mark.usefixtures("either_way")
def test_longest_name_that_the_file_system_takes(tmp_path: Path):
    path = tmp_path / ("n" * 255)
    atomic_write(path, b"data")
    assert path.read_bytes() == b"data"


def test_folder_in_the_way(tmp_path: Path, names: Names):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="directory"):
        atomic_write(tmp_path / "file", b"data")
    assert names(tmp_path) == ["file"]


def test_missing_folder(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        atomic_write(tmp_path / "none" / "file", b"data")
    with pytest.raises(FileNotFoundError):
        fsync_folder(tmp_path / "none")


def test_no_descriptor_is_left_open(tmp_path: Path, open_files: Callable[[], int]):
    before = open_files()
    for index in range(3):
        atomic_write(tmp_path / f"{index}", b"data")
        with pytest.raises(ZeroDivisionError), atomic_writer(tmp_path / "file"):
            raise ZeroDivisionError
    assert open_files() == before


def test_error_of_the_system_passes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: Failing
):
    monkeypatch.setattr(atomic.os, "open", failing(errno.EACCES))
    with pytest.raises(PermissionError):
        PendingFile(tmp_path)
