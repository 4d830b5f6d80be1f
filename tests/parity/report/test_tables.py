"""Tables for a terminal: complete, and safe from names."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from trufor_onnx.console import printable
from trufor_onnx.parity.report.tables import groups_table, lines_below, most_telling, rows_table
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
