"""Files by format, each whole or not at all; JUnit's test cases, whatever the names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.console import printable
from trufor_onnx.errors import ParityError
from trufor_onnx.parity.report.formats import (
    FORMATS,
    MOST_LINES,
    junit,
    parse_formats,
    write_reports,
)
from trufor_onnx.parity.results.rows import SOURCE, Report, Status

Root = ET.Element


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


def parsed(report: Report) -> Root:
    return ET.fromstring(junit(report).encode())


def case(root: Root, classname: str, name: str) -> Root:
    (found,) = [
        one
        for one in root.iter("testcase")
        if (one.get("classname"), one.get("name")) == (classname, name)
    ]
    return found


def kinds(element: Root) -> list[str]:
    return [child.tag for child in element if child.tag != "system-out"]


def test_a_test_case_for_each_model_backend_and_output(mixed: Report) -> None:
    root = parsed(mixed)
    found = {(one.get("classname"), one.get("name")) for one in root.iter("testcase")}
    assert found == {
        ("parity", "verdict"),
        ("net.torch32.cpu", "map on images"),
        ("net.torch32.cpu", "bad on images"),
        ("net.torch32.cpu", "odd on images"),
        ("net.onnxruntime.cpu", "map on images"),
        ("net.onnxruntime.cpu", "bad on images"),
        ("net.onnxruntime.cpu", "odd on images"),
        ("net.onnxruntime.cuda", "map on images"),
        ("net.images", "gone.png"),
    }


def test_statuses_become_failures_errors_and_skipped(mixed: Report) -> None:
    root = parsed(mixed)
    assert kinds(case(root, "net.onnxruntime.cpu", "map on images")) == []
    assert kinds(case(root, "net.onnxruntime.cpu", "bad on images")) == ["failure"]
    assert kinds(case(root, "net.onnxruntime.cpu", "odd on images")) == ["error"]
    assert kinds(case(root, "net.onnxruntime.cuda", "map on images")) == ["skipped"]
    assert kinds(case(root, "net.images", "gone.png")) == ["error"]
    assert kinds(case(root, "parity", "verdict")) == ["failure"]
    failure = case(root, "net.onnxruntime.cpu", "bad on images").find("failure")
    assert failure is not None
    assert "mae 1 is over 0.1" in str(failure.get("message"))
    assert failure.text == "real/a.png: mae 1 is over 0.1"


def test_the_counts_are_of_what_is_there(mixed: Report) -> None:
    root = parsed(mixed)
    counts = {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "9", "failures": "2", "errors": "2", "skipped": "1"}
    for name, total in counts.items():
        assert sum(int(str(suite.get(name))) for suite in root) == int(str(total))


def test_a_pass_has_no_other_element_and_its_figures(passing: Report) -> None:
    root = parsed(passing)
    assert {root.get(name) for name in ("failures", "errors", "skipped")} == {"0"}
    shown = case(root, "net.onnxruntime.cpu", "map on images").findtext("system-out")
    assert "mean MAE to float64 1e-06" in str(shown)
    properties = {one.get("name"): one.get("value") for one in root.iter("property")}
    assert properties["weights"] == "stand-in weights (seed golden)"
    assert properties["proof"] == "proven"


@pytest.mark.parametrize("status", list(Status))
def test_the_verdict_is_the_report_s(make: Any, build: Any, status: Status) -> None:
    report = build([make.row(backend=SOURCE), make.row(status=status)])
    expected = {"pass": [], "fail": ["failure"], "error": ["error"], "not run": ["error"]}
    if status is Status.PASS:
        assert report.status is Status.PASS
    assert kinds(case(parsed(report), "parity", "verdict")) == expected[status.value]


def test_nothing_compared_is_an_error_not_an_empty_success(build: Any) -> None:
    root = parsed(build([]))
    assert (root.get("tests"), root.get("errors")) == ("1", "1")


def test_hostile_names_are_shown_and_break_nothing(
    hostile: Report, hostile_names: tuple[str, ...]
) -> None:
    root = parsed(hostile)
    suites = {suite.get("name") for suite in root}
    assert suites == {"parity", *map(printable, hostile_names)}
    messages = {failure.text for failure in root.iter("failure")}
    for name in hostile_names:
        shown = printable(name)
        assert f"{printable(name + '2')}: {shown}" in messages


@given(text=st.text(st.characters(exclude_categories=[])))
def test_any_name_gives_xml_that_can_be_read(text: str, make: Any) -> None:
    rows = (make.row(model=text, image=text, output=text or "o", reason=text, status=Status.FAIL),)
    group = make.group(model=text, output=text or "o", status=Status.FAIL, reason=text)
    root = parsed(Report({"processor": text}, {text: {}}, rows, (), (group,)))
    assert int(str(root.get("failures"))) == 2


def test_a_long_list_of_rows_is_cut(make: Any, build: Any) -> None:
    rows = [
        make.row(image=f"{n}.png", status=Status.FAIL, reason="far", mae=1.0)
        for n in range(MOST_LINES + 5)
    ]
    root = parsed(build(rows))
    failure = case(root, "net.onnxruntime.cpu", "map on images").find("failure")
    assert failure is not None and failure.text is not None
    assert failure.text.splitlines()[-1] == "and 5 more, all in parity.json"


def test_images_and_shapes_are_apart(make: Any) -> None:
    """A failing image is not told in the test case of the shapes."""
    bad = make.row(status=Status.FAIL, reason="far")
    shaped = make.row(image="shape:1x1")
    far = make.row(image="shape:2x2", status=Status.FAIL, reason="farther")
    groups = (make.group(status=Status.FAIL), make.group(cases="shapes", status=Status.FAIL))
    root = parsed(Report({}, {"net": {}}, (bad,), (shaped, far), groups))
    told = {
        name: case(root, "net.onnxruntime.cpu", f"map on {name}").findtext("failure")
        for name in ("images", "shapes")
    }
    assert told == {"images": "real/a.png: far", "shapes": "shape:2x2: farther"}
