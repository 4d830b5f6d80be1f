"""Files by format, each whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.report.formats import FORMATS, parse_formats, write_reports
from trufor_onnx.parity.results.rows import Report


def test_names_in_order_each_once() -> None:
    assert parse_formats("markdown, junit,markdown,") == ["markdown", "junit"]
    assert parse_formats("json") == ["json"]


@pytest.mark.parametrize("text", ["", ",", "xml", "junit,xml", "JSON"])
def test_an_unknown_format_or_none_is_an_error_that_lists_them(text: str) -> None:
    with pytest.raises(ParityError) as caught:
        parse_formats(text)
    assert "json, junit, markdown, html" in caught.value.hint


def test_files_are_written_where_they_belong(tmp_path: Path, mixed: Report) -> None:
    paths = write_reports(mixed, tmp_path / "new" / "out", list(FORMATS))
    names = ["parity.json", "parity.junit.xml", "parity.md", "parity.html"]
    assert [path.name for path in paths] == names
    assert json.loads(paths[0].read_text())["schema_version"] == 1
    assert ET.parse(paths[1]).getroot().tag == "testsuites"
    assert paths[2].read_text(encoding="utf-8").startswith("# Parity")
    assert paths[3].read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(p.name for p in paths)


def test_hostile_names_can_be_written(tmp_path: Path, hostile: Report) -> None:
    paths = write_reports(hostile, tmp_path, list(FORMATS))
    assert all(path.read_bytes().decode("utf-8") for path in paths)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, passing: Report) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ParityError, match="cannot be written") as caught:
        write_reports(passing, tmp_path / "file", ["json"])
    assert "--out" in caught.value.hint
