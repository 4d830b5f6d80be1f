"""The published weights from a server on 127.0.0.1; who published a file."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import socket
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from trufor_onnx.errors import StorageError
from trufor_onnx.export.weights import archive
from trufor_onnx.export.weights.archive import ArchiveError
from trufor_onnx.export.weights.download import (
    PUBLISHED,
    WEIGHTS,
    WEIGHTS_TERMS,
    DownloadError,
    Publication,
    fetch_weights,
    publication_of,
    receipt_path,
)
from trufor_onnx.files import atomic_writer, sha256_bytes

WEIGHTS_BYTES = os.urandom(200_000)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def zip_bytes(*entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, data in entries:
            opened.writestr(name, data)
    return buffer.getvalue()


ARCHIVE = zip_bytes(("weights/readme.txt", b"hello"), ("weights/model.tar", WEIGHTS_BYTES))


def publication(server, content=ARCHIVE):
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Publication(server.url, md5, "weights/model.tar", 1 << 20)


def fetch(out, server, content=ARCHIVE, **options):
    options.setdefault("sleep", lambda _: None)
    return fetch_weights(out, publication=publication(server, content), **options)


def test_the_published_facts():
    assert WEIGHTS.archive_name == "TruFor_weights.zip"
    assert WEIGHTS.file_name == "trufor.pth.tar"
    assert WEIGHTS.md5 == "7bee48f3476c75616c3c5721ab256ff8"
    assert "nonprofit" in WEIGHTS_TERMS
    assert "NOTICE" in WEIGHTS_TERMS


def test_only_the_needed_file_ends_up_in_the_folder(make_server, tmp_path):
    server = make_server(content=ARCHIVE)
    result = fetch(tmp_path / "weights", server)
    assert result.path.read_bytes() == WEIGHTS_BYTES
    assert result.sha256 == sha256_bytes(WEIGHTS_BYTES)
    assert result.fetched_bytes == len(ARCHIVE)
    assert str(result.path) in result.describe()
    assert names(tmp_path / "weights") == ["model.tar", "model.tar.receipt.json"]


def test_already_there_and_right_asks_nobody(make_server, tmp_path):
    server = make_server(content=ARCHIVE)
    fetch(tmp_path, server)
    before = (tmp_path / "model.tar").stat()
    result = fetch(tmp_path, server)
    assert result.already_there
    assert "nothing downloaded" in result.describe()
    assert len(server.requests) == 1
    assert (tmp_path / "model.tar").stat().st_ino == before.st_ino


@pytest.mark.parametrize("damage", [b"", WEIGHTS_BYTES[:-1], bytes(len(WEIGHTS_BYTES))])
def test_damaged_since_is_fetched_again(make_server, tmp_path, damage, caplog):
    server = make_server(content=ARCHIVE)
    fetch(tmp_path, server)
    (tmp_path / "model.tar").write_bytes(damage)
    result = fetch(tmp_path, server)
    assert not result.already_there
    assert result.path.read_bytes() == WEIGHTS_BYTES
    assert "damaged since" in caplog.text


@pytest.mark.parametrize("receipt", [None, b"", b"{}", b"[]"])
def test_a_file_of_unknown_origin_is_not_touched(make_server, tmp_path, receipt):
    server = make_server(content=ARCHIVE)
    (tmp_path / "model.tar").write_bytes(b"my own training")
    if receipt is not None:
        (tmp_path / "model.tar.receipt.json").write_bytes(receipt)
    with pytest.raises(DownloadError, match="not from this command") as caught:
        fetch(tmp_path, server)
    assert "--weights" in caught.value.hint
    assert (tmp_path / "model.tar").read_bytes() == b"my own training"
    assert server.requests == []


def test_truncation_is_never_taken_for_the_file(make_server, tmp_path):
    server = make_server(content=ARCHIVE, cut_after=[1000] * 20)
    with pytest.raises(DownloadError, match=r"ended after [\d,]+ of [\d,]+ bytes") as caught:
        fetch(tmp_path, server)
    assert "put it at" in caught.value.hint
    assert not (tmp_path / "model.tar").exists()
    server.cut_after.clear()
    assert fetch(tmp_path, server).path.read_bytes() == WEIGHTS_BYTES
    assert server.ranges[-1] == "bytes=4000-"


def test_truncation_that_the_server_does_not_admit(make_server, tmp_path):
    server = make_server(content=ARCHIVE[:-100])
    with pytest.raises(DownloadError, match="not the published archive"):
        fetch(tmp_path, server)
    assert names(tmp_path) == []


def test_wrong_digest_names_both_and_leaves_nothing(make_server, tmp_path):
    page = b"<html>please log in</html>"
    server = make_server(content=page, content_type="text/html")
    with pytest.raises(DownloadError) as caught:
        fetch(tmp_path, server)
    assert hashlib.md5(page, usedforsecurity=False).hexdigest() in caught.value.problem
    assert publication(server).md5 in caught.value.problem
    assert "text/html" in caught.value.problem
    assert "login page" in caught.value.hint
    assert names(tmp_path) == []


def test_damaged_part_of_an_earlier_run_is_fetched_anew_once(make_server, tmp_path, caplog):
    server = make_server(content=ARCHIVE, cut_after=[50_000] * 20)
    with pytest.raises(DownloadError):
        fetch(tmp_path, server)
    part = tmp_path / "weights.zip.part"
    part.write_bytes(bytes(part.stat().st_size))
    server.cut_after.clear()
    assert fetch(tmp_path, server).path.read_bytes() == WEIGHTS_BYTES
    assert "what an earlier run had left is damaged" in caplog.text


def test_zip_that_points_outside_its_folder(make_server, tmp_path):
    content = zip_bytes(("../evil.txt", b"evil"), ("weights/model.tar", WEIGHTS_BYTES))
    out = tmp_path / "weights"
    with pytest.raises(ArchiveError, match="points outside its folder"):
        fetch(out, make_server(content=content), content)
    assert names(tmp_path) == ["weights"]
    assert not (out / "model.tar").exists()


def test_zip_without_the_file(make_server, tmp_path):
    content = zip_bytes(("weights/other.tar", WEIGHTS_BYTES))
    with pytest.raises(ArchiveError, match=r"has no weights/model\.tar, but weights/other\.tar"):
        fetch(tmp_path, make_server(content=content), content)
    assert not (tmp_path / "model.tar").exists()


def test_link_in_the_place_of_the_file_is_replaced_not_followed(make_server, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    out = tmp_path / "weights"
    server = make_server(content=ARCHIVE)
    fetch(out, server)
    (out / "model.tar").unlink()
    (out / "model.tar").symlink_to(victim)
    fetch(out, server)
    assert victim.read_bytes() == b"precious"
    assert (out / "model.tar").read_bytes() == WEIGHTS_BYTES


def test_no_network_says_what_to_do_by_hand_and_that_works(make_server, tmp_path):
    make_server()  # no proxies
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/a/weights.zip"
        md5 = hashlib.md5(ARCHIVE, usedforsecurity=False).hexdigest()
        what = Publication(url, md5, "weights/model.tar", 1 << 20)
        with pytest.raises(DownloadError, match="refused") as caught:
            fetch_weights(tmp_path, publication=what, sleep=lambda _: None)
        assert url in caught.value.hint
        assert str(tmp_path / "weights.zip") in caught.value.hint
        (tmp_path / "weights.zip").write_bytes(ARCHIVE)
        result = fetch_weights(tmp_path, publication=what)
    assert result.path.read_bytes() == WEIGHTS_BYTES
    assert result.fetched_bytes == 0
    assert (tmp_path / "weights.zip").read_bytes() == ARCHIVE  # the user's file stays


def test_wrong_archive_put_there_by_hand(make_server, tmp_path):
    server = make_server(content=ARCHIVE)
    (tmp_path / "weights.zip").write_bytes(ARCHIVE[:-1])
    with pytest.raises(DownloadError, match="not the published archive") as caught:
        fetch(tmp_path, server)
    assert "delete it" in caught.value.hint
    assert server.requests == []


def test_mirrors_are_tried_in_order_with_the_same_digest(make_server, tmp_path):
    gone = make_server(statuses=[404])
    liar = make_server(content=zip_bytes(("weights/model.tar", b"other")))
    good = make_server(content=ARCHIVE)
    result = fetch(tmp_path, good, url=[gone.url, liar.url, good.url])
    assert result.path.read_bytes() == WEIGHTS_BYTES
    assert [len(server.requests) for server in (gone, liar, good)] == [1, 1, 1]


def test_every_mirrors_problem_is_named(make_server, tmp_path):
    gone = make_server(statuses=[404])
    liar = make_server(content=b"other")
    with pytest.raises(DownloadError) as caught:
        fetch(tmp_path, gone, url=[gone.url, liar.url])
    assert "404" in caught.value.problem
    assert "not the published archive" in caught.value.problem


def test_disk_full_while_unpacking_keeps_the_download(make_server, tmp_path, monkeypatch):
    server = make_server(content=ARCHIVE)

    @contextmanager
    def full_disk(path):
        with atomic_writer(path) as stream:
            yield stream
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(archive, "atomic_writer", full_disk)
        with pytest.raises(StorageError, match="no space left") as caught:
            fetch(tmp_path, server)
    assert "free some space" in caught.value.hint
    assert names(tmp_path) == ["weights.zip.part", "weights.zip.part.json"]
    result = fetch(tmp_path, server)
    assert result.path.read_bytes() == WEIGHTS_BYTES
    assert (result.fetched_bytes, len(server.requests)) == (0, 1)


def test_killed_just_before_the_file_gets_its_name(make_server, tmp_path, monkeypatch):
    server = make_server(content=ARCHIVE)
    real_replace = Path.replace

    def killed(self, target):
        if Path(target).name == "model.tar":
            raise KeyboardInterrupt
        return real_replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch(tmp_path, server)
    assert not (tmp_path / "model.tar").exists()
    assert fetch(tmp_path, server).path.read_bytes() == WEIGHTS_BYTES
    assert names(tmp_path) == ["model.tar", "model.tar.receipt.json"]
    assert len(server.requests) == 1


def test_second_download_at_the_same_time_is_refused(make_server, tmp_path):
    server = make_server(content=ARCHIVE)
    problems = []

    def meanwhile(*_):
        if not problems:
            with pytest.raises(StorageError, match="another process is working in") as caught:
                fetch(tmp_path, server)
            problems.append(caught.value)

    result = fetch(tmp_path, server, progress=meanwhile)
    assert problems
    assert result.path.read_bytes() == WEIGHTS_BYTES


def test_folder_that_is_a_file(make_server, tmp_path):
    (tmp_path / "weights").write_bytes(b"")
    with pytest.raises(StorageError, match="weights: ") as caught:
        fetch(tmp_path / "weights", make_server(content=ARCHIVE))
    assert "--out" in caught.value.hint


def test_a_published_digest_is_known_wherever_it_is() -> None:
    for digest in PUBLISHED:
        assert publication_of(None, digest) == {"by": "GRIP-UNINA", "known_by": "its SHA-256"}


def test_a_name_is_no_origin(tmp_path: Path) -> None:
    assert publication_of(tmp_path / WEIGHTS.file_name, "a" * 64) is None
    assert publication_of(None, "") is None


def test_a_receipt_of_the_published_archive_is_one_for_its_digest_only(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS.file_name
    receipt = {"archive_md5": WEIGHTS.md5, "sha256": "a" * 64, "size": 3}
    receipt_path(path).write_text(json.dumps(receipt))
    known = publication_of(path, "a" * 64)
    assert known is not None and known["known_by"] == "the receipt of the published archive"
    assert publication_of(path, "b" * 64) is None
    assert publication_of(None, "a" * 64) is None
    receipt_path(path).write_text(json.dumps(receipt | {"archive_md5": "0" * 32}))
    assert publication_of(path, "a" * 64) is None


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '"x"'])
def test_what_is_no_receipt_says_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.pth"
    receipt_path(path).write_text(text)
    assert publication_of(path, "a" * 64) is None
