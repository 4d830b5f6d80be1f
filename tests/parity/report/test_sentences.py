"""What did not pass, files, references, and what ran where, in sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trufor_onnx.parity.report.sentences import (
    MOST_OPERATORS,
    backend_name,
    file_lines,
    placement_lines,
    problems,
    reference_lines,
)
from trufor_onnx.parity.report.text import lines_below, markdown
from trufor_onnx.parity.results.rows import SOURCE, Report, Status

CUDA = {
    "nodes": {"CUDAExecutionProvider": 120, "CPUExecutionProvider": 3},
    "time_share": {"CUDAExecutionProvider": 0.98, "CPUExecutionProvider": 0.02},
    "fell_back_ops": {"Gather": 1, "Shape": 2},
    "options": {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "device_id": "0"},
    "unconfirmed": [],
}


def test_a_pass_has_none(passing: Report) -> None:
    assert problems(passing, 20) == []


def test_groups_first_then_images(mixed: Report) -> None:
    found = problems(mixed, 20)
    assert [line.split(":")[0] for line in found] == [
        *("fail", "error", "not run"),  # groups
        *("fail", "error", "not run", "error"),  # rows
    ]
    assert found[-1] == "error: gone.png net: damaged"


def test_many_are_counted(make: Any, build: Any) -> None:
    rows = [
        make.row(image=f"{n}", status=Status.FAIL, reason=f"far {'x' * n}", mae=1.0)
        for n in range(9)
    ]
    assert problems(build(rows), 4)[-1] == "and 6 more, all in parity.json"
    assert len(problems(build(rows), 4)) == 5


def test_a_reason_is_said_once(make: Any, build: Any) -> None:
    """Thirty rows said the same thing on thirty lines, or with another figure in it."""
    rows = [
        make.row(image=f"{n}.png", status=Status.FAIL, reason=f"mae {n}.5e-03 is over 0.1", mae=1.0)
        for n in range(30)
    ]
    found = problems(build(rows), 20)
    assert len(found) == 2  # the output as a whole, and its rows
    assert found[1] == "fail: 30 comparisons: mae 0.5e-03 is over 0.1 (first: 0.png net map)"


def test_a_run_that_proves_nothing_says_so(make: Any, build: Any) -> None:
    (only,) = problems(build([make.row(backend=SOURCE, mae=1e-6)]), 20)
    assert only.startswith("not run: nothing was compared")


def report(**about: Any) -> Report:
    return Report({}, {"net": about}, (), (), ())


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        ("portable", "onnxruntime cpu"),
        ("candidate", "onnxruntime cpu"),
        ("ort", "onnxruntime cpu (ort)"),
    ],
)
def test_only_unusual_variants_are_named(make: Any, variant: str, name: str) -> None:
    assert backend_name(make.row(variant=variant)) == name
    assert backend_name(make.group(variant=variant)) == name


def test_counts_that_are_zero_are_not_said() -> None:
    counts = {"from_cache": 48, "from_bundle": 0, "computed": 2, "corrupt": 1}
    (line,) = reference_lines(report(references=counts))
    assert line == "net: references: 48 from cache, 2 computed, 1 corrupt"
    assert reference_lines(report(references=dict.fromkeys(counts, 0))) == []
    assert reference_lines(report()) == []


@pytest.mark.parametrize(("same", "said"), [(True, "on this machine"), (False, "ON ANOTHER")])
def test_a_bundle_s_machine_is_said(same: bool, said: str) -> None:
    bundle = {"sha256": "ab" * 32, "same_machine": same, "made_by": {"torch": "2.13.0"}}
    torch32 = {"processor": "A", "instructions": "AVX2", "threads": 2}
    (line,) = reference_lines(report(bundle=bundle, torch32=torch32))
    assert said in line
    assert "A, AVX2, 2 threads, torch 2.13.0" in line


def test_every_other_file_has_its_line() -> None:
    file = {"name": "net.ort.onnx", "sha256": "cd" * 32}
    variants = {"ort": {"file": file, "proof": "proven"}, "portable": {}}
    (line,) = file_lines(report(variant="portable", variants=variants))
    assert line == "net: net.ort.onnx (cdcdcdcdcdcdcdcd): proven"


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
