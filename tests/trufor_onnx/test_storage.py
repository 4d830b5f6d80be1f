import errno
import os
import socket
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from trufor_onnx.errors import StorageError, UnsafeFileError
from trufor_onnx.files import check_space, explained, kind_of, open_regular


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
