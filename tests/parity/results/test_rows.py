"""Three outcomes, never two; JSON with stable keys; a report comes back as it was, or not."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.documents import decode, encode
from trufor_onnx.errors import ParityError
from trufor_onnx.parity.results.rows import (
    SCHEMA_VERSION,
    SOURCE,
    Group,
    Report,
    Row,
    Status,
    from_document,
    json_text,
    read_report,
    worst_status,
)

# Other programs read these: none may go or change.
ROW_KEYS = {
    *("model", "variant", "weights", "backend", "provider", "image", "image_sha256", "shape"),
    *("output", "mae", "max_abs", "mae_torch32", "accuracy_ratio", "status"),
    *("proof", "label", "reason", "p99_abs", "rel_l2", "outcome"),
    *("bias", "reference", "found", "found_sha256"),
}
MAY_STAND = {"sketch"}  # in PyTorch's rows; reports of before have none
GROUP_KEYS = {
    *("cases", "model", "variant", "weights", "proof", "backend", "provider", "output", "rows"),
    *("counts", "mean", "std", "worst", "mean_torch32", "std_torch32", "worst_torch32"),
    *("max_abs", "accuracy_ratio", "status", "reason", "outcome"),
}


def report_of(*rows: Row, groups: tuple[Group, ...] = (), models: tuple[str, ...] = ()) -> Report:
    return Report(
        {}, {name: {} for name in models or {row.model for row in rows}}, rows, (), groups
    )


@pytest.mark.parametrize(
    ("found", "worst"),
    [
        ([], Status.NOT_RUN),
        ([Status.NOT_RUN, Status.NOT_RUN], Status.NOT_RUN),
        ([Status.PASS, Status.NOT_RUN], Status.PASS),
        ([Status.PASS, Status.ERROR, Status.NOT_RUN], Status.ERROR),
        ([Status.ERROR, Status.FAIL, Status.PASS], Status.FAIL),
    ],
)
def test_the_worst_of_several(found: list[Status], worst: Status) -> None:
    for order in itertools.permutations(found):
        assert worst_status(list(order)) is worst


@pytest.mark.parametrize("status", list(Status))
def test_a_single_row_decides_a_report(make: Any, status: Status) -> None:
    report = report_of(make.row(status=status))
    assert report.status is status
    summary = report.document()["summary"]
    assert summary["status"] == status.value
    assert summary["counts"] == {s.value: int(s is status) for s in Status}


def test_a_report_without_rows_is_no_pass() -> None:
    assert report_of().status is Status.NOT_RUN


def test_a_run_in_which_all_was_skipped_is_no_pass(make: Any) -> None:
    rows = [make.row(image=f"{n}.png", status=Status.NOT_RUN) for n in range(3)]
    assert report_of(*rows).status is Status.NOT_RUN


def test_pytorch_compared_with_itself_is_no_pass(make: Any) -> None:
    assert report_of(make.row(backend=SOURCE)).status is Status.NOT_RUN
    skipped = make.row(status=Status.NOT_RUN, provider="cuda")
    assert report_of(make.row(backend=SOURCE), skipped).status is Status.NOT_RUN


def test_every_model_needs_a_candidate_that_passed(make: Any) -> None:
    other = make.row(model="other", status=Status.NOT_RUN)
    assert report_of(make.row(), other).status is Status.NOT_RUN
    assert report_of(make.row(), models=("net", "other")).status is Status.NOT_RUN
    assert report_of(make.row(), make.row(model="other")).status is Status.PASS


def test_an_absent_device_beside_a_pass_is_a_pass_with_its_own_row(make: Any) -> None:
    report = report_of(make.row(), make.row(provider="cuda", status=Status.NOT_RUN))
    assert report.status is Status.PASS
    assert report.document()["summary"]["counts"]["not run"] == 1


@pytest.mark.parametrize("status", [Status.FAIL, Status.ERROR])
def test_a_group_or_a_shape_can_spoil_a_report(make: Any, status: Status) -> None:
    group = make.group(status=status)
    assert report_of(make.row(), groups=(group,)).status is status
    shaped = Report({}, {"net": {}}, (make.row(),), (make.row(status=status),), ())
    assert shaped.status is status


def test_keys_of_the_document(make: Any) -> None:
    document = report_of(make.row(), groups=(make.group(),)).document()
    assert document["schema_version"] == SCHEMA_VERSION == 1
    assert set(document) == {
        *("schema_version", "environment", "models", "rows", "shape_rows", "summary"),
        *("pictures", "digest"),
    }
    assert set(document["summary"]) == {"status", "counts", "groups", "resumed_cases"}
    assert set(document["rows"][0]) == ROW_KEYS == {field.name for field in fields(Row)} - MAY_STAND
    source = report_of(make.row(sketch={"pixels": "0"})).document()["rows"][0]
    assert set(source) == ROW_KEYS | MAY_STAND
    assert Row.from_document(source).document() == source
    assert set(document["summary"]["groups"][0]) == GROUP_KEYS


def test_a_row_s_figures_are_null_where_they_are_not_finite(make: Any) -> None:
    row = make.row(mae=math.nan, rel_l2=math.inf, accuracy_ratio=-math.inf, max_abs=None)
    document = row.document()
    assert [document[key] for key in ("mae", "rel_l2", "accuracy_ratio", "max_abs")] == [None] * 4
    json.dumps(document, allow_nan=False)


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


FLOATS = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@given(st.text(), st.sampled_from(Status), FLOATS, st.lists(st.integers()))
def test_a_row_comes_back_from_json_as_it_was(
    name: str, status: Status, figure: float | None, shape: list[int]
) -> None:
    row = Row(
        *("net", "portable", "weights", "proven", "onnxruntime", "cpu"),
        image=name,
        image_sha256="",
        label="",
        shape=tuple(shape),
        output="map",
        status=status,
        mae=figure,
        outcome={"flipped": True, "difference": 0.5},
    )
    assert Row.from_document(json.loads(json.dumps(row.document()))) == row


def test_a_group_comes_back_from_json_as_it_was(make: Any) -> None:
    group = make.group(outcome={"flipped": 2, "difference": 0.5}, accuracy_ratio=None)
    back = decode(Group, json.loads(json.dumps(encode(group))))
    assert back == group
    assert isinstance(back.outcome["flipped"], int)
