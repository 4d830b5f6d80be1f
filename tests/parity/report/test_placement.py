"""A provider that loses nodes says so in every view."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from trufor_onnx.parity.report.formats import markdown
from trufor_onnx.parity.report.sentences import MOST_OPERATORS, placement_lines
from trufor_onnx.parity.report.tables import lines_below
from trufor_onnx.parity.results.rows import Report

CUDA = {
    "nodes": {"CUDAExecutionProvider": 120, "CPUExecutionProvider": 3},
    "time_share": {"CUDAExecutionProvider": 0.98, "CPUExecutionProvider": 0.02},
    "fell_back_ops": {"Gather": 1, "Shape": 2},
    "options": {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "device_id": "0"},
    "unconfirmed": [],
}


def placed(report: Report, placement: Any) -> Report:
    return replace(
        report, models={n: given | {"placement": placement} for n, given in report.models.items()}
    )


def test_what_ran_where_with_the_settings_that_move_rounding(passing: Report) -> None:
    (line,) = placement_lines(placed(passing, {"cuda": CUDA}))
    assert line == (
        "net on cuda: 120 nodes on CUDAExecutionProvider (98 % of the time), 3 nodes on "
        "CPUExecutionProvider (2 % of the time); not computed there: Gather 1, Shape 2; "
        "TF32 0, cuDNN search HEURISTIC"
    )


def test_it_is_on_the_terminal_and_in_markdown(passing: Report) -> None:
    report = placed(passing, {"cuda": CUDA})
    assert any("not computed there: Gather 1" in line for line in lines_below(report))
    page = markdown(report)
    assert "## Providers" in page and "not computed there: Gather 1" in page


def test_a_provider_that_lost_nothing_says_where_it_ran(passing: Report) -> None:
    found = CUDA | {"fell_back_ops": {}, "unconfirmed": ["precision"], "options": {}}
    (line,) = placement_lines(placed(passing, {"openvino": found}))
    assert "not computed there" not in line
    assert line.endswith("; asked for and not confirmed: precision")


def test_of_many_operators_the_first_are_named_and_the_rest_counted(passing: Report) -> None:
    lost = {f"Op{index:02d}": 1 for index in range(MOST_OPERATORS + 3)}
    (line,) = placement_lines(placed(passing, {"cuda": CUDA | {"fell_back_ops": lost}}))
    assert "Op07 1 and 3 more" in line and "Op08" not in line


def test_reports_without_placement_are_read_too(passing: Report) -> None:
    assert placement_lines(passing) == []
    for strange in (None, [], {"cuda": None}, {"cuda": {}}, {"cuda": {"nodes": [1]}}):
        placement_lines(placed(passing, strange))
    assert "## Providers" not in markdown(passing)
