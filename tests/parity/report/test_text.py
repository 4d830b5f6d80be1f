"""Tables for a terminal and the page in Markdown: complete, and safe from names."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from rich.console import Console

from trufor_onnx.console import printable
from trufor_onnx.parity.report.text import (
    groups_table,
    lines_below,
    markdown,
    most_telling,
    rows_table,
)
from trufor_onnx.parity.results.rows import SOURCE, Report, Status


def shown(renderable: object) -> str:
    console = Console(width=400, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_a_row_shows_its_figures_and_status(make: Any) -> None:
    text = shown(rows_table([make.row(mae=1.5e-6, accuracy_ratio=0.9)], "Images"))
    for cell in ("net", "real/a.png", "map", "onnxruntime cpu", "1.500e-06", "0.900", "pass"):
        assert f" {cell} " in text


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_its_word(make: Any, status: Status) -> None:
    assert f" {status.value} " in shown(rows_table([make.row(status=status)], ""))
    assert f" {status.value} " in shown(groups_table([make.group(status=status)]))


def test_what_was_not_measured_is_a_dash_not_a_zero(make: Any) -> None:
    row = make.row(status=Status.NOT_RUN, mae=None, mae_torch32=None, accuracy_ratio=None)
    assert shown(rows_table([row], "")).count(" - ") == 3


def test_pytorch_s_own_rows_are_shown_where_they_did_not_pass_only(make: Any) -> None:
    own = make.row(backend=SOURCE)
    assert SOURCE not in shown(rows_table([own], "")).replace("to torch32", "")
    assert "torch32 cpu" in shown(rows_table([make.row(backend=SOURCE, status=Status.ERROR)], ""))


def test_names_are_never_read_as_markup(hostile: Report, hostile_names: tuple[str, ...]) -> None:
    for text in (shown(rows_table(hostile.rows, "")), shown(groups_table(hostile.groups))):
        assert "\x1b" not in text and "\x07" not in text
        for name in hostile_names:
            if len(name) < 80:
                assert printable(name).strip() in text


def test_the_summary_has_mean_spread_and_maximum(make: Any) -> None:
    group = make.group(mean=1e-6, std=2e-7, worst=3e-6, rows=50, worst_torch32=None)
    text = shown(groups_table([group]))
    for cell in ("50", "1.000e-06", "2.000e-07", "3.000e-06", "-"):
        assert f" {cell} " in text


def test_of_very_many_rows_the_most_telling_are_shown(make: Any) -> None:
    rows = [make.row(image=f"{n}", mae=n * 1e-9) for n in range(10)]
    rows += [make.row(backend=SOURCE) for _ in range(10)]
    rows += [make.row(image="bad", status=Status.FAIL, mae=None)]
    kept, title = most_telling(rows, "Images", 4)
    assert [row.image for row in kept] == ["bad", "9", "8", "7"]
    assert title == "Images: the worst 4 of 11, all in parity.json"
    few, title = most_telling(rows[:3], "Images", 4)
    assert (few, title) == (rows[:3], "Images")


def test_weights_proof_and_pixel_scale_are_told(passing: Report) -> None:
    (line,) = lines_below(passing)
    assert line.startswith("net: stand-in weights (seed golden); net.onnx (ffffffffffffffff): ")
    assert line.endswith("proven; pixels / 256")


def test_decisions_and_resumed_cases_are_told(make: Any, build: Any) -> None:
    rows = [make.row(outcome={"flipped": True, "difference": 0.25})]
    lines = lines_below(build(rows, resumed_cases=3))
    assert lines[1:] == [
        "net map on images, worst: flipped 1, difference 0.25",
        "3 cases were measured by an interrupted run",
    ]


def tables(page: str) -> list[list[list[str]]]:
    """Every table as its rows of cells, read as Markdown reads them."""
    found: list[list[list[str]]] = []
    inside = False
    for line in page.splitlines():
        if line.startswith("| "):
            if not inside:
                found.append([])
            found[-1].append([unescape(cell.strip()) for cell in line.strip("| ").split(" | ")])
        inside = line.startswith("| ")
    return found


@pytest.mark.parametrize(
    ("status", "mark"),
    [
        (Status.PASS, "✅ passed"),
        (Status.FAIL, "failed"),
        (Status.ERROR, "could not compare"),
        (Status.NOT_RUN, "not run"),
    ],
)
def test_the_first_line_is_the_verdict(make: Any, build: Any, status: Status, mark: str) -> None:
    page = markdown(build([make.row(backend=SOURCE), make.row(status=status)]))
    first = page.splitlines()[0]
    assert first.startswith("# Parity: ") and mark in first
    assert ("✅" in first) == (status is Status.PASS)


def test_a_pass_says_what_was_compared(passing: Report) -> None:
    page = markdown(passing)
    assert "1 images (0 different), 0 shape cases, 0 made pictures; rows: 2 pass." in page
    summary = tables(page)[0]
    assert summary[0][0] == "model"
    assert summary[3][:5] == ["net", "images", "map", "onnxruntime cpu", "1"]
    assert "stand-in weights (seed golden); net.onnx, proven" in unescape(page)
    assert "torch 2.13.0" in page and "gone" not in page
    assert "What did not pass" not in page


def test_what_did_not_pass_is_listed(mixed: Report) -> None:
    page = unescape(markdown(mixed))
    assert "fail: net bad on images, onnxruntime cpu: 1 of 1: real/a.png: mae 1 is over 0.1" in page
    assert "error: gone.png net: damaged" in page
    assert "not run: net map on images, onnxruntime cuda" in page
    assert "no CUDA" in page


def test_not_run_never_looks_like_passed(mixed: Report) -> None:
    (row,) = [row for row in tables(markdown(mixed))[0] if row[3] == "onnxruntime cuda"]
    assert row[-1] == "⏸️ **not run**"
    assert row[5:9] == ["-", "-", "-", "-"]


def test_decisions_and_the_worst_images_are_shown(make: Any, build: Any) -> None:
    rows = [
        make.row(image=f"{n}.png", mae=n * 1e-7, outcome={"flipped": n == 3, "difference": n * 0.1})
        for n in range(1, 9)
    ]
    page = markdown(build(rows))
    decisions, worst = tables(page)[1:3]
    assert decisions[2] == ["net map", "images", "onnxruntime", "flipped 1, difference 0.8"]
    assert [row[0] for row in worst[2:]] == [f"{n}.png" for n in (8, 7, 6, 5, 4)]


def test_resumed_cases_are_told(make: Any, build: Any) -> None:
    assert "7 cases were measured by an earlier" in markdown(build([make.row()], resumed_cases=7))


def test_hostile_names_stay_in_their_cells(hostile: Report, hostile_names: tuple[str, ...]) -> None:
    page = markdown(hostile)
    assert page.replace("\n", "").isprintable()
    for table in tables(page):
        assert {len(row) for row in table} == {len(table[0])}
    shown = {row[0] for row in tables(page)[0][2:]}
    assert shown == {printable(name).strip() for name in hostile_names}
    bare = re.sub(r"&#\d+;", "", page)
    assert "<" not in bare and "`" not in bare and "[" not in bare
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert len(headings) == len({*headings}) <= 5


def test_a_long_list_is_cut(make: Any, build: Any) -> None:
    rows = [
        make.row(image=f"{n}.png", status=Status.FAIL, reason=f"far {'x' * n}", mae=1.0)
        for n in range(50)
    ]
    page = markdown(build(rows))
    assert "more, all in parity.json" in page
    assert len(page) < 6000


def test_an_empty_report_is_not_run(build: Any) -> None:
    page = markdown(build([]))
    assert page.startswith("# Parity: ⏸️ **not run**")
    assert "nothing was compared" in page
