"""Each accident is made as it happens, and must be recognised."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from trufor_onnx.chunking.causes import Cause, wrong_content
from trufor_onnx.chunking.folders import opened

Make = Callable[..., bytes]
SIZE = 3 << 20  # large enough for some CR LF pairs in random bytes


@pytest.fixture
def guess(tmp_path: Path) -> Callable[[bytes, int], Cause]:
    def look(data: bytes, expected: int) -> Cause:
        path = tmp_path / "piece"
        path.write_bytes(data)
        with opened(path) as source:
            return wrong_content(source.descriptor, source.size, expected)

    return look


def test_git_lfs_pointer(guess: Callable[[bytes, int], Cause]):
    cause = guess(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", SIZE)
    assert "git-lfs" in cause.text
    assert cause.hint == "run: git lfs pull"


def test_line_ends_made_crlf(guess: Callable[[bytes, int], Cause], make_bytes: Make):
    data = make_bytes(SIZE)
    assert b"\r\n" in data
    by_git = re.sub(rb"(?<!\r)\n", b"\r\n", data)  # leaves pairs that were there
    by_python = data.replace(b"\n", b"\r\n")
    for wrong in (by_git, by_python):
        cause = guess(wrong, SIZE)
        assert "LF to CRLF" in cause.text
        assert ".gitattributes" in cause.hint


def test_line_ends_made_lf(guess: Callable[[bytes, int], Cause], make_bytes: Make):
    cause = guess(make_bytes(SIZE).replace(b"\r\n", b"\n"), SIZE)
    assert "CRLF to LF" in cause.text


@pytest.mark.parametrize("share", [0.9999999, 0.5, 0.01])
def test_truncated(guess: Callable[[bytes, int], Cause], make_bytes: Make, share: float):
    cause = guess(make_bytes(SIZE)[: int(SIZE * share)], SIZE)
    assert "truncated" in cause.text


def test_empty(guess: Callable[[bytes, int], Cause]):
    assert "empty" in guess(b"", SIZE).text


@pytest.mark.parametrize("start", [b"<!DOCTYPE html>", b"\n <html lang=en>", b"<!doctype HTML>"])
def test_web_page(guess: Callable[[bytes, int], Cause], start: bytes):
    assert "web page" in guess(start + b"<body>404</body>", SIZE).text


def test_zeros(guess: Callable[[bytes, int], Cause]):
    assert "zeros" in guess(bytes(SIZE), SIZE).text
    assert guess(bytes(SIZE - 1) + b"x", SIZE).text == ""


def test_pair_across_two_blocks(guess: Callable[[bytes, int], Cause]):
    data = b"x" * ((1 << 20) - 1) + b"\r\n" + b"y" * 10
    assert "LF to CRLF" in guess(data, len(data) - 1).text


def test_flipped_bit_has_no_known_cause(guess: Callable[[bytes, int], Cause], make_bytes: Make):
    data = bytearray(make_bytes(SIZE))
    data[SIZE // 2] ^= 1
    cause = guess(data, SIZE)
    assert cause.text == ""
    assert cause.hint


def test_longer_file_without_conversion(guess: Callable[[bytes, int], Cause], make_bytes: Make):
    assert guess(make_bytes(SIZE) + b"more", SIZE).text == ""


def test_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "piece"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    really = os.pread
    read: list[int] = []

    def pread(descriptor: int, count: int, offset: int) -> bytes:
        read.append(count)
        return really(descriptor, count, offset)

    with opened(path) as source:
        monkeypatch.setattr(os, "pread", pread)
        assert "another file" in wrong_content(source.descriptor, source.size, SIZE).text
    assert sum(read) < 10_000
