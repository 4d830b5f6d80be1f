"""A report comes back from its JSON as it was, or not at all."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.results.rows import Report, from_document, json_text, read_report


@pytest.mark.parametrize("which", ["passing", "mixed", "hostile"])
def test_a_report_comes_back(request: pytest.FixtureRequest, tmp_path: Path, which: str) -> None:
    report: Report = request.getfixturevalue(which)
    path = tmp_path / "parity.json"
    path.write_text(json_text(report))
    back = read_report(path)
    assert back == report
    assert json_text(back) == json_text(report)


def test_the_text_is_ascii_sorted_and_ends_with_a_newline(hostile: Report) -> None:
    text = json_text(hostile)
    assert text.isascii() and text.endswith("}\n")
    document = json.loads(text)
    assert list(document) == sorted(document)
    assert list(document["rows"][0]) == sorted(document["rows"][0])


def edit_status(document: dict[str, Any]) -> None:
    document["summary"]["status"] = "pass"


def edit_row(document: dict[str, Any]) -> None:
    document["rows"][4]["status"] = "pass"


def edit_count(document: dict[str, Any]) -> None:
    document["summary"]["counts"]["pass"] += 1


def drop_rows(document: dict[str, Any]) -> None:
    document["rows"] = document["rows"][:1]


def add_key(document: dict[str, Any]) -> None:
    document["more"] = 1


def add_row_key(document: dict[str, Any]) -> None:
    document["rows"][0]["more"] = 1


def nan(document: dict[str, Any]) -> None:
    document["rows"][0]["mae"] = float("nan")


def no_summary(document: dict[str, Any]) -> None:
    del document["summary"]


def models_as_list(document: dict[str, Any]) -> None:
    document["models"] = list(document["models"])


def other_version(document: dict[str, Any]) -> None:
    document["schema_version"] = 2


def edit_figure(document: dict[str, Any]) -> None:
    document["rows"][1]["rel_l2"] = 0.0


def no_digest(document: dict[str, Any]) -> None:
    del document["digest"]


def resumed_as_text(document: dict[str, Any]) -> None:
    document["summary"]["resumed_cases"] = "none"


EDITS = [
    *(edit_status, edit_row, edit_count, drop_rows, add_key, add_row_key, nan, no_summary),
    *(models_as_list, other_version, resumed_as_text),
    *(edit_figure, no_digest),
]


@pytest.mark.parametrize("edit", EDITS)
def test_a_report_that_was_edited_is_refused(
    mixed: Report, edit: Callable[[dict[str, Any]], None]
) -> None:
    document = copy.deepcopy(mixed.document())
    edit(document)
    with pytest.raises(ParityError) as caught:
        from_document(document, "parity.json")
    assert "parity run" in caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"3", b"{}", b"\xff", b"[" * 100_000], ids=range(8)
)
def test_what_is_no_report_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ParityError, match=r"x\.json"):
        read_report(path)


def test_a_missing_report_and_a_huge_one_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ParityError, match="cannot be read"):
        read_report(tmp_path / "none.json")
    (tmp_path / "x.json").write_text("{}  ")
    monkeypatch.setattr("trufor_onnx.parity.results.rows.LARGEST", 3)
    with pytest.raises(ParityError, match="too large"):
        read_report(tmp_path / "x.json")


def test_another_version_is_told_by_its_number(mixed: Report) -> None:
    with pytest.raises(ParityError, match="schema version 2, this tool reads 1"):
        from_document(mixed.document() | {"schema_version": 2}, "parity.json")
