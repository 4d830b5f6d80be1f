"""From arrays to rows, with everything that a row says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trufor_onnx.errors import ParityError
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.inputs.cases import Case, ImageFile
from trufor_onnx.parity.inputs.shapes import made_cases
from trufor_onnx.parity.references.identity import REFUTED
from trufor_onnx.parity.references.subject import Subject, make_subject
from trufor_onnx.parity.results.rows import SOURCE, Row, Status
from trufor_onnx.parity.results.tolerances import Tolerance
from trufor_onnx.parity.running import judging
from trufor_onnx.parity.running.judging import About, RowMaker

ABOUT = About(Case("x.png", (ImageFile(Path("x.png"), "x.png", "fake"),)), "0" * 64, (1, 3, 4, 4))
TORCH32 = "PyTorch itself"
ORT = SimpleNamespace(backend="onnxruntime", provider="cpu")
LIMITS = Tolerance(1e-5, 1e-4, 2.0, 1.1, 0.0, "a test")


@pytest.fixture
def subject(
    tiny: Any,  # noqa: ARG001 - registers the tiny networks
    exported: Callable[[str], Path],
) -> Subject:
    folder = exported("tiny_trufor").parent
    source = WeightsSource(stand_in="golden")
    return make_subject("tiny_trufor", source, candidates={}, folder=folder)


@pytest.fixture
def maker(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> RowMaker:
    monkeypatch.setattr(judging, "tolerance_for", lambda *_: LIMITS)
    return RowMaker(subject)


def outputs(score: float = 0.3, dtype: type = np.float32) -> dict[str, np.ndarray]:
    return {
        "map": np.full((1, 4, 4), 0.25, dtype),
        "conf": np.full((1, 4, 4), 0.75, dtype),
        "score": np.array([score], dtype),
        "noiseprint": np.zeros((1, 1, 4, 4), dtype),
    }


def judged(maker: RowMaker, found: Any, runner: Any = ORT, **scores: float) -> dict[str, Row]:
    reference = outputs(scores.get("reference", 0.3), np.float64)
    source = outputs(scores.get("source", 0.3))
    runner = maker.source if runner is TORCH32 else runner
    rows = list(maker.judged(ABOUT, runner, found, reference, source))
    assert len(rows) == len({row.output for row in rows})
    return {row.output: row for row in rows}


def test_a_row_says_what_it_is_of(maker: RowMaker) -> None:
    rows = judged(maker, outputs())
    assert list(rows) == ["map", "conf", "score", "noiseprint"]
    row = rows["map"]
    assert (row.model, row.variant, row.proof) == ("tiny_trufor", "portable", "proven")
    assert (row.backend, row.provider) == ("onnxruntime", "cpu")
    assert (row.image, row.label, row.shape) == ("x.png", "fake", (1, 3, 4, 4))
    assert row.weights == "stand-in weights (seed golden)"
    assert row.status is Status.PASS
    assert row.outcome == {"iou": 1.0, "flipped_share": 0.0}
    assert rows["noiseprint"].outcome == {}


def test_pytorch_s_rows_are_its_own(maker: RowMaker) -> None:
    row = judged(maker, outputs(), TORCH32)["score"]
    assert (row.variant, row.proof, row.backend) == ("source", "source", SOURCE)


@pytest.mark.parametrize("backend", ["mybackend", "tensorrt", "torch64"])
def test_whatever_runs_the_file_its_rows_are_the_file_s(maker: RowMaker, backend: str) -> None:
    runner = SimpleNamespace(backend=backend, provider="cpu")
    rows = [*judged(maker, outputs(), runner).values()]
    rows += maker.failed_to_run(ABOUT, runner, "it stopped")
    assert {(row.variant, row.proof, row.backend) for row in rows} == {
        ("portable", "proven", backend)
    }


@pytest.mark.parametrize("backend", [SOURCE, ""])
def test_a_runner_that_takes_pytorch_s_name_is_refused(maker: RowMaker, backend: str) -> None:
    runner = SimpleNamespace(backend=backend, provider="cpu")
    with pytest.raises(ParityError, match="calls itself"):
        judged(maker, outputs(), runner)
    with pytest.raises(ParityError, match="calls itself"):
        list(maker.failed_to_run(ABOUT, runner, "it stopped"))


def test_a_missing_and_a_strange_output_fail_and_the_others_are_judged(maker: RowMaker) -> None:
    found = outputs()
    found["Score"] = found.pop("score")
    rows = judged(maker, found)
    assert rows["score"].reason == "the output is missing"
    assert rows["Score"].reason == "an output that the network does not have"
    assert {rows[name].status for name in ("score", "Score")} == {Status.FAIL}
    assert {rows[name].status for name in ("map", "conf", "noiseprint")} == {Status.PASS}


def test_what_cannot_be_measured_has_no_figures(maker: RowMaker) -> None:
    found = outputs()
    found["map"] = found["map"][0]
    row = judged(maker, found)["map"]
    assert (row.status, row.mae, row.accuracy_ratio, row.outcome) == (Status.FAIL, None, None, {})


def test_a_flipped_decision_fails_though_the_error_is_as_small_as_pytorch_s(
    maker: RowMaker,
) -> None:
    scores = {"reference": 0.499, "source": 0.4985}
    row = judged(maker, outputs(0.50001), **scores)["score"]
    assert row.outcome["flipped"] is True
    # Twice PyTorch's own error would be allowed, and it is not reached.
    assert row.mae is not None and row.accuracy_ratio is not None
    near = judged(maker, outputs(0.4999), **scores)["score"]
    assert near.status is Status.PASS
    assert row.status is Status.FAIL


def test_a_flip_at_the_threshold_is_told_and_passes(maker: RowMaker) -> None:
    row = judged(maker, outputs(0.500005), reference=0.499996, source=0.499996)["score"]
    assert row.outcome["flipped"] is True
    assert row.status is Status.PASS


def test_a_flip_by_float32_alone_fails(maker: RowMaker) -> None:
    """The candidate is as far off as PyTorch float32, which flips too."""
    scores = {"reference": 0.4, "source": 0.52}
    row = judged(maker, outputs(0.52), **scores)["score"]
    assert (row.status, row.accuracy_ratio) == (Status.FAIL, pytest.approx(1.0))
    assert "the decision at 0.5 is another one, 0.1 from the threshold" in row.reason
    own = judged(maker, outputs(0.52), TORCH32, **scores)["score"]
    assert own.status is Status.PASS  # the yardstick itself is not on trial


def test_rows_without_a_comparison(maker: RowMaker) -> None:
    row = maker.unusable(ABOUT.case, "damaged")
    assert (row.status, row.reason, row.image) == (Status.ERROR, "damaged", "x.png")
    assert (row.backend, row.output, row.variant, row.proof) == ("", "", "", "")
    for rows, status in (
        (maker.not_run(ABOUT, SimpleNamespace(name="cuda"), "absent"), Status.NOT_RUN),  # type: ignore[arg-type] # a name is enough
        (maker.failed_to_run(ABOUT, ORT, "absent"), Status.ERROR),
    ):
        found = list(rows)
        assert [row.output for row in found] == ["map", "conf", "score", "noiseprint"]
        assert {(row.status, row.reason, row.mae) for row in found} == {(status, "absent", None)}


def test_a_refuted_file_s_rows_say_why(subject: Subject) -> None:
    identity = replace(subject.identity, proof=REFUTED, reason="it holds other weights")
    refuted = RowMaker(subject, identity)
    rows = list(refuted.refuted(ABOUT))
    assert {(row.status, row.reason) for row in rows} == {(Status.FAIL, "it holds other weights")}
    assert len(rows) == 4


def test_a_made_picture_is_not_cleared(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a flat picture is off, it is decided at once whether it says anything."""
    monkeypatch.setattr(judging, "tolerance_for", lambda *_: replace(LIMITS, cleared=4.0))
    maker = RowMaker(subject)
    about = replace(ABOUT, case=made_cases(find("mit_b2"))[-1])
    reference, source, found = outputs(dtype=np.float64), outputs(), outputs()
    found["map"] += np.float32(2e-5)  # twice its limit
    rows = {row.output: row for row in maker.judged(about, ORT, found, reference, source)}
    assert about.case.name == "made:saturated"
    assert rows["map"].status is Status.FAIL
    usual = {row.output: row for row in maker.judged(ABOUT, ORT, found, reference, source)}
    assert usual["map"].status is Status.PASS  # until it is settled
