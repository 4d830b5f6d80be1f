"""Provenance is shown whole; what did not pass, each reason once, failures first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trufor_onnx.parity.report.html.elements import join
from trufor_onnx.parity.report.html.origin import (
    MOST_NAMES,
    MOST_REASONS,
    failed_outputs,
    flat,
    placement_section,
    problems_section,
    provenance_section,
)
from trufor_onnx.parity.results.rows import Report, Status

PLACEMENT = {
    "cuda": {
        "nodes": {"CUDAExecutionProvider": 120, "CPUExecutionProvider": 4},
        "time_share": {"CUDAExecutionProvider": 0.98},
        "fell_back_ops": {"Shape": 4},
        "options": {"use_tf32": "0"},
    }
}


def with_model(report: Report, **given: Any) -> Report:
    return replace(report, models={"net": dict(report.models["net"]) | given})


def test_nodes_by_provider(passing: Report) -> None:
    text = placement_section(with_model(passing, placement=PLACEMENT))
    for shown in ("CUDAExecutionProvider", ">120<", ">98.0 %<", "Shape 4", "TF32 0"):
        assert shown in text
    assert ">–</td>" in text  # the CPU's share is not known


def test_what_was_not_profiled_is_not_known(passing: Report) -> None:
    text = placement_section(passing)
    assert "not profiled" in text and "state notrun" in text


@pytest.mark.parametrize(
    ("proof", "kind"),
    [("proven", "pass"), ("weights unproven", "error"), ("other weights", "fail"), (3, "error")],
)
def test_the_proof_is_a_state(passing: Report, proof: object, kind: str) -> None:
    text = join(provenance_section(with_model(passing, proof=proof)))
    assert f'class="state {kind}"' in text


@pytest.mark.parametrize("given", [{}, {"file": 3, "weights": [], "proof": None, "placement": "x"}])
def test_any_shape_is_shown(passing: Report, given: dict[str, Any]) -> None:
    report = replace(passing, models={"net": given})
    assert "no file" in join(provenance_section(report))
    assert "not profiled" in placement_section(report)


def test_flat() -> None:
    document = {"a": {"b_c": [1, 2]}, "d": True, "e": None, "f": "", "g": 0, "h": {}}
    assert list(flat(document)) == [("a › b c", "1, 2"), ("d", "yes"), ("g", "0")]


def test_nothing_to_say(passing: Report) -> None:
    assert problems_section(passing) is None
    assert failed_outputs(passing.groups) == 0


def test_one_reason_for_many_is_said_once(make: Any, build: Any) -> None:
    rows = [make.row()]
    for number in range(MOST_NAMES + 3):
        name = f"{number:02d}.png"
        rows.append(make.row(image=name, provider="cuda", status=Status.NOT_RUN, reason="no CUDA"))
    rows.append(make.row(image="bad.png", status=Status.FAIL, reason="too far"))
    text = problems_section(build(rows)) or ""
    assert text.count("no CUDA") == 1 and f"{MOST_NAMES + 3} comparisons" in text
    assert "and 3 more" in text
    assert text.index("too far") < text.index("no CUDA")
    assert "bad.png: net map, portable onnxruntime cpu" in text


def test_a_verdict_on_an_output_as_a_whole(make: Any) -> None:
    counts = {"pass": 1, "fail": 0, "error": 0, "not run": 0}
    group = make.group(status=Status.FAIL, reason="accuracy ratio 2", counts=counts)
    report = Report({}, {"net": {}}, (make.row(),), (), (group,))
    text = problems_section(report) or ""
    assert "accuracy ratio 2" in text and "net map on images" in text
    assert failed_outputs(report.groups) == 1


def test_a_verdict_that_only_repeats_its_rows_is_not_repeated(mixed: Report) -> None:
    text = problems_section(mixed) or ""
    assert text.count("mae 1 is over 0.1") == 1


def test_very_many_reasons_are_counted(make: Any, build: Any) -> None:
    rows = [make.row(image=f"{n}", status=Status.FAIL, reason=f"r{n}") for n in range(70)]
    assert f"and {70 - MOST_REASONS} more reasons" in (problems_section(build(rows)) or "")


def test_nothing_compared_is_a_problem(build: Any) -> None:
    assert "nothing was compared" in (problems_section(build([], ("net",))) or "")
