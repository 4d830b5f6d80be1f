"""Provenance is shown whole, whatever shape it has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trufor_onnx.parity.report.html.elements import join
from trufor_onnx.parity.report.html.origin import flat, placement_section, provenance_section
from trufor_onnx.parity.results.rows import Report

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
