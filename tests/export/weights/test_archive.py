"""Zips made to do harm, and zips that are merely damaged."""

from __future__ import annotations

import os
import stat
import struct
import zipfile

import pytest

from trufor_onnx import files
from trufor_onnx.errors import StorageError
from trufor_onnx.export.weights.archive import (
    ArchiveError,
    extract_member,
    members,
    open_archive,
    read_member,
)

PAYLOAD = os.urandom(5000) + bytes(200_000)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def make_zip(path, entries, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def test_member_is_read_and_extracted(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("folder/", b""), ("folder/file", PAYLOAD)])
    target = tmp_path / "file"
    with open_archive(path) as archive:
        files = members(archive)
        assert list(files) == ["folder/file"]
        assert read_member(archive, files["folder/file"], max_bytes=1 << 20) == PAYLOAD
        extract_member(archive, files["folder/file"], target, max_bytes=1 << 20)
    assert target.read_bytes() == PAYLOAD


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "a\\..\\evil", "//host/evil"]
)
def test_name_outside_its_folder_is_refused(tmp_path, name):
    path = make_zip(tmp_path / "a.zip", [("good", b"1"), (name, b"2")])
    with (
        open_archive(path) as archive,
        pytest.raises(ArchiveError, match=r"unsafe archive, nothing was unpacked"),
    ):
        members(archive)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_link_or_device_is_refused(tmp_path, kind):
    info = zipfile.ZipInfo("link")
    info.external_attr = (kind | 0o777) << 16
    path = make_zip(tmp_path / "a.zip", [(info, b"/etc/passwd")])
    with open_archive(path) as archive, pytest.raises(ArchiveError, match="a link or a device"):
        members(archive)


def test_same_name_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = make_zip(tmp_path / "a.zip", [("a", b"1"), ("a", b"2")])
    with open_archive(path) as archive, pytest.raises(ArchiveError, match="is there twice"):
        members(archive)


def test_encrypted_is_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("a", b"1")])
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    with open_archive(path) as archive, pytest.raises(ArchiveError, match="is encrypted"):
        members(archive)


def test_bomb_is_refused_by_its_declared_size(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("a", bytes(10_000_000))])
    assert path.stat().st_size < 20_000
    with open_archive(path) as archive:
        info = members(archive)["a"]
        with pytest.raises(ArchiveError, match="would unpack to 10,000,000 bytes"):
            extract_member(archive, info, tmp_path / "out", max_bytes=1_000_000)
    assert not (tmp_path / "out").exists()


def test_bomb_that_lies_about_its_size_is_stopped_there(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("a", bytes(10_000_000))])
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(signature) + offset, 1000)
    path.write_bytes(data)
    with open_archive(path) as archive:
        info = members(archive)["a"]
        with pytest.raises(ArchiveError, match="cannot be unpacked"):
            extract_member(archive, info, tmp_path / "out", max_bytes=1_000_000)
    assert names(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_flipped_bit_is_found_and_the_old_file_stays(tmp_path, method):
    path = make_zip(tmp_path / "a.zip", [("a", PAYLOAD)], method)
    data = bytearray(path.read_bytes())
    data[3000] ^= 4
    path.write_bytes(data)
    target = tmp_path / "out"
    target.write_bytes(b"old")
    with open_archive(path) as archive, pytest.raises(ArchiveError, match="cannot be unpacked"):
        extract_member(archive, members(archive)["a"], target, max_bytes=1 << 20)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.zip", "out"]


def test_declared_longer_than_it_is(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("a", PAYLOAD)])
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(signature) + offset, len(PAYLOAD) + 1)
    path.write_bytes(data)
    with open_archive(path) as archive, pytest.raises(ArchiveError, match="205,000 bytes, not"):
        read_member(archive, members(archive)["a"], max_bytes=1 << 20)


@pytest.mark.parametrize("content", [b"", b"<html>log in</html>", b"PK\x03\x04" + bytes(100)])
def test_not_a_zip(tmp_path, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="not a zip archive"), open_archive(path):
        pass


def test_missing_zip(tmp_path):
    with pytest.raises(ArchiveError, match="No such file"), open_archive(tmp_path / "a.zip"):
        pass


def test_full_disk_is_reported_before_writing(tmp_path, monkeypatch):
    path = make_zip(tmp_path / "a.zip", [("a", PAYLOAD)])
    monkeypatch.setattr(files, "free_bytes", lambda _: 1000)
    with open_archive(path) as archive, pytest.raises(StorageError, match="no space left"):
        extract_member(archive, members(archive)["a"], tmp_path / "out", max_bytes=1 << 20)
