"""Who published a file is known by its digest, never by its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trufor_onnx.export.weights.download import PUBLISHED, WEIGHTS, publication_of, receipt_path


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
