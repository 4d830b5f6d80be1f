"""Runners side by side: what is opened, in which order, and what each case gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trufor_onnx.errors import ParityError, ProviderRunError
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.inputs.cases import Case
from trufor_onnx.parity.inputs.image_sets import find_images
from trufor_onnx.parity.inputs.shapes import shape_cases
from trufor_onnx.parity.references.subject import Subject, make_subject
from trufor_onnx.parity.results.rows import REFUTED, SOURCE, Status
from trufor_onnx.parity.runners.onnxruntime_runner import OnnxRuntimeRunner
from trufor_onnx.parity.runners.torch_runner import TorchRunner
from trufor_onnx.parity.running import side_by_side as bench
from trufor_onnx.parity.running.side_by_side import Bench
from trufor_onnx.providers import Provider

CPU = Provider("cpu", required=True)
CUDA = Provider("cuda", required=True)

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture
def subject(exported: Callable[[str], Path]) -> Subject:
    folder = exported("tiny_np").parent
    return make_subject("tiny_np", WeightsSource(stand_in="golden"), candidates={}, folder=folder)


@pytest.fixture
def case(make_images: Callable[..., Path]) -> Case:
    (picture,) = find_images(make_images(1))
    return Case(picture.name, (picture,))


def test_a_case_gives_a_row_for_pytorch_and_for_each_provider(subject: Subject, case: Case) -> None:
    absent = replace(CUDA, required=False)
    with Bench(subject, [CPU, absent], case, threads=1) as ready:
        rows = list(ready.rows(case.load()))
    assert [(row.backend, row.provider, row.status) for row in rows] == [
        (SOURCE, "cpu", Status.PASS),
        ("onnxruntime", "cuda", Status.NOT_RUN),
        ("onnxruntime", "cpu", Status.PASS),
    ]
    source, skipped, candidate = rows
    assert (source.variant, source.proof, source.mae_torch32) == ("source", "source", 0.0)
    assert (candidate.variant, candidate.proof) == ("portable", "proven")
    assert candidate.shape == (1, 3, 48, 40)
    assert candidate.image_sha256 == case.load().sha256
    assert skipped.mae is None and "CUDAExecutionProvider did not load" in skipped.reason


def test_a_required_provider_that_is_absent_stops_before_anything_runs(
    subject: Subject, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(TorchRunner, "run")
    with pytest.raises(ProviderRunError):
        Bench(subject, [CPU, CUDA], case)


def test_what_was_opened_is_closed_also_after_an_error(
    subject: Subject, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    leave = OnnxRuntimeRunner.__exit__

    def watched(runner: OnnxRuntimeRunner, *how: Any) -> None:
        closed.append(runner)
        leave(runner, *how)

    monkeypatch.setattr(OnnxRuntimeRunner, "__exit__", watched)

    def fail(*_: object, **__: object) -> None:
        raise ParityError("not reproducible", hint="")

    monkeypatch.setattr("trufor_onnx.parity.references.supply.require_reproducible", fail)
    with pytest.raises(ParityError, match="not reproducible"):
        Bench(subject, [CPU], case)
    assert len(closed) == 1


def test_a_refuted_file_is_never_loaded(
    subject: Subject, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(bench, "OnnxRuntimeRunner")
    (candidate,) = subject.candidates
    identity = replace(candidate.identity, proof=REFUTED, reason="it holds other weights")
    refuted = replace(subject, candidates=(replace(candidate, identity=identity),))
    with Bench(refuted, [CPU], case) as ready:
        rows = list(ready.rows(case.load()))
    assert [(row.backend, row.status) for row in rows] == [
        (SOURCE, Status.PASS),
        ("onnxruntime", Status.FAIL),
    ]
    assert rows[1].reason == "it holds other weights"


def test_a_backend_that_fails_on_a_case_is_an_error_row_for_each_output(
    subject: Subject, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ParityError("ONNX Runtime failed", hint="")

    with Bench(subject, [CPU], case) as ready:
        monkeypatch.setattr(OnnxRuntimeRunner, "run", fail)
        rows = list(ready.rows(case.load()))
    assert [(row.backend, row.status, row.output) for row in rows] == [
        (SOURCE, Status.PASS, "noiseprint"),
        ("onnxruntime", Status.ERROR, "noiseprint"),
    ]


def test_a_trial_that_cannot_be_read_is_an_error(subject: Subject, case: Case) -> None:
    case.pictures[0].path.write_bytes(b"spoiled")
    with pytest.raises(Exception, match="not a picture"):
        Bench(subject, [CPU], case)


def test_the_second_input_is_the_reference_s_noiseprint_for_every_backend(
    exported: Callable[[str], Path],
    make_images: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = exported("tiny_mit").parent
    source = WeightsSource(stand_in="golden")
    subject = make_subject("tiny_mit", source, candidates={}, folder=folder)
    cases = shape_cases(subject.spec, find_images(make_images(1)))
    seen: dict[str, Any] = {}
    for kind in (TorchRunner, OnnxRuntimeRunner):

        def watched(runner: Any, feeds: Any, run: Any = kind.run) -> Any:
            seen[f"{runner.backend} {sorted(feeds)}"] = feeds
            return run(runner, feeds)

        monkeypatch.setattr(kind, "run", watched)
    with Bench(subject, [CPU], cases[0], threads=1) as ready:
        rows = list(ready.rows(cases[-1].load()))
    assert {row.status for row in rows} == {Status.PASS}
    both = [seen[f"{name} ['np', 'rgb']"] for name in ("torch64", "torch32", "onnxruntime")]
    assert all(feeds is both[0] for feeds in both)
    assert both[0]["np"].dtype == np.float32
    assert np.abs(both[0]["np"]).max() > 0.0
    assert not np.array_equal(both[0]["np"][0, 0], both[0]["rgb"][0, 0])


def test_the_document_says_how_the_reference_was_made(subject: Subject, case: Case) -> None:
    with Bench(subject, [CPU], case) as ready:
        document = ready.document()
    assert document["reference"] == "torch float64, reproducible"
    assert set(document["torch32"]["trial_mae"]) == {"onednn", "native"}


def test_the_placement_of_the_trial_s_nodes_is_known(subject: Subject, case: Case) -> None:
    with Bench(subject, [CPU], case, threads=1) as ready:
        placement = ready.placement()
    assert set(placement) == {"cpu"}
    assert set(placement["cpu"]["nodes"]) == {"CPUExecutionProvider"}
    assert placement["cpu"]["fell_back_ops"] == {}


@pytest.mark.parametrize("required", [True, False])
def test_a_device_that_is_listed_and_computes_nothing_is_no_device(
    subject: Subject, case: Case, monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    """An ONNX Runtime that says CUDA everywhere, and places every node on the CPU."""
    provider = replace(CUDA, required=required)
    real = OnnxRuntimeRunner

    def lying(path: Path, asked: Provider, **given: Any) -> OnnxRuntimeRunner:
        runner = real(path, CPU, **given)
        runner.asked, runner.provider = asked, asked.name
        return runner

    monkeypatch.setattr(bench, "OnnxRuntimeRunner", lying)
    monkeypatch.setattr(
        "trufor_onnx.parity.runners.onnxruntime_runner.require_ran", lambda *_: None
    )
    monkeypatch.setattr("trufor_onnx.parity.runners.onnxruntime_runner.BINDS", ())
    if required:
        with pytest.raises(ProviderRunError, match="cuda was asked for and computed no node"):
            Bench(subject, [provider], case, threads=1)
        return
    with Bench(subject, [provider], case, threads=1) as ready:
        rows = list(ready.rows(case.load()))
        assert ready.placement() == {}
    assert [(row.backend, row.provider, row.status) for row in rows] == [
        (SOURCE, "cpu", Status.PASS),
        ("onnxruntime", "cuda", Status.NOT_RUN),
    ]
    assert "computed no node" in rows[1].reason


def test_a_candidate_that_answers_otherwise_the_second_time_fails_uncompared(
    subject: Subject, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[float] = []

    def run(runner: OnnxRuntimeRunner, feeds: Any, once: Any = OnnxRuntimeRunner.run) -> Any:
        calls.append(1e-7 * len(calls))
        return {name: array + np.float32(calls[-1]) for name, array in once(runner, feeds).items()}

    monkeypatch.setattr(OnnxRuntimeRunner, "run", run)
    with Bench(subject, [CPU], case, threads=1) as ready:
        row = list(ready.rows(case.load()))[-1]
    assert (row.status, row.mae) == (Status.FAIL, None)
    assert "the file differs from itself" in row.reason
    assert len(calls) == 2
