"""Files whole or not at all, their digests and sizes, and only regular ones are opened."""

import errno
import hashlib
import os
import socket
import stat
from collections import namedtuple
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx import files as atomic
from trufor_onnx.errors import ChunkingError, StorageError, UnsafeFileError
from trufor_onnx.files import (
    BLOCK_BYTES,
    PendingFile,
    atomic_write,
    atomic_writer,
    check_space,
    current_umask,
    explained,
    format_size,
    fsync_folder,
    kind_of,
    open_regular,
    parse_size,
    sha256_bytes,
    sha256_file,
)

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


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1])
def test_file_and_buffer_agree_with_hashlib(
    tmp_path: Path, make_bytes: Callable[[int], bytes], size: int
):
    data = make_bytes(size)
    (tmp_path / "file").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert sha256_file(tmp_path / "file") == expected
    assert sha256_bytes(memoryview(data)) == expected


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24MiB", 24 << 20),
        ("45 MiB", 45 << 20),
        ("1", 1),
        ("4096B", 4096),
        ("1.5GiB", 3 << 29),
        ("45MB", 45_000_000),
        ("2kib", 2048),
        ("0.5KiB", 512),
        ("1TiB", 1 << 40),
        (" 7 ", 7),
    ],
)
def test_right_sizes(text: str, size: int):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "MiB", "0", "0MiB", "-1", "1e6", "24 MiB MiB", "24Mi", "1.5", "0.3KiB", "٣", "9" * 16],
)
def test_wrong_sizes(text: str):
    with pytest.raises(ChunkingError) as caught:
        parse_size(text)
    assert "24MiB" in caught.value.hint


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_a_typed_error(text: str):
    with suppress(ChunkingError):
        assert parse_size(text) > 0


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (24 << 20, "24.0 MiB"),
        (5 << 50, "5120.0 TiB"),
    ],
)
def test_sizes_for_people(size: int, text: str):
    assert format_size(size) == text


def make(path: Path, kind: str) -> None:
    """Put something that is no regular file at ``path``."""
    if kind == "symbolic link":
        (path.parent / "target").write_bytes(b"content")
        path.symlink_to(path.parent / "target")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket is limited to 108 bytes
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
        finally:
            os.chdir(here)
    elif kind == "device":
        try:
            os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # like /dev/zero: endless
        except PermissionError:
            pytest.skip("only root makes devices")


@pytest.mark.parametrize("kind", ["symbolic link", "folder", "pipe", "socket", "device"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str):
    path = tmp_path / "file"
    make(path, kind)
    assert kind_of(path.lstat().st_mode) == kind
    with pytest.raises(UnsafeFileError, match=f"is a {kind}"):
        open_regular(path)


def test_link_that_the_user_typed_is_followed(tmp_path: Path):
    make(tmp_path / "file", "symbolic link")
    descriptor = open_regular(tmp_path / "file", follow_link=True)
    assert os.read(descriptor, 9) == b"content"
    os.close(descriptor)


def test_file_that_becomes_a_link_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    path.write_bytes(b"")
    really_open = os.open

    def swap_and_open(name, flags, *args, **kwargs):
        path.unlink()
        path.symlink_to("/etc/passwd")
        return really_open(name, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", swap_and_open)
    with pytest.raises(UnsafeFileError, match="symbolic link"):
        open_regular(path)


def test_file_that_becomes_a_pipe_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_files: Callable[[], int]
):
    path = tmp_path / "file"
    path.write_bytes(b"")
    really_open = os.open

    def swap_and_open(name, flags, *args, **kwargs):
        path.unlink()
        os.mkfifo(path)
        return really_open(name, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", swap_and_open)
    before = open_files()
    with pytest.raises(UnsafeFileError, match="pipe"):
        open_regular(path)
    assert open_files() == before


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "no space left"),
        (errno.EACCES, "permissions"),
        (errno.EROFS, "read-only"),
        (errno.ENOENT, "mkdir"),
        (errno.EIO, "dmesg"),
        (errno.EFBIG, "ulimit"),
        (errno.EMFILE, "again"),
    ],
)
def test_errors_say_what_where_and_what_to_do(tmp_path: Path, number: int, word: str):
    with pytest.raises(StorageError) as caught, explained("write", tmp_path / "file"):
        raise OSError(number, os.strerror(number))
    assert word in str(caught.value)
    assert str(tmp_path) in caught.value.problem
    assert caught.value.hint


def test_full_disk_names_what_is_needed_and_free(tmp_path: Path):
    with (
        pytest.raises(StorageError, match=r"24\.0 MiB needed, .* free"),
        explained("write", tmp_path / "file", needed=24 << 20),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_full_disk_in_a_folder_that_is_gone(tmp_path: Path):
    with (
        pytest.raises(StorageError, match=r"24\.0 MiB needed\n"),
        explained("write", tmp_path / "none" / "file", needed=24 << 20),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), explained("write", Path("file")):
        raise ZeroDivisionError


def test_space_is_what_a_plain_user_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fields = namedtuple("fields", "f_bavail f_bfree f_frsize")
    monkeypatch.setattr(os, "statvfs", lambda _path: fields(10, 1000, 4096))
    check_space(tmp_path, 40960)
    with pytest.raises(StorageError, match="no space left"):
        check_space(tmp_path, 40961)
