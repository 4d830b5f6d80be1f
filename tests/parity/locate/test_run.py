"""``parity gate --locate``: a layer that no output shows stops a release; not asked is no pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.parity.locate.conftest import scale_one, set_weight
from trufor_onnx.errors import ParityError
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.files import sha256_bytes
from trufor_onnx.parity.cli import main
from trufor_onnx.parity.gate.evidence import Location, gather
from trufor_onnx.parity.gate.judge import judge
from trufor_onnx.parity.gate.policy import load_policy
from trufor_onnx.parity.locate.run import located
from trufor_onnx.parity.results.findings import Finding, Outcome


def rule(release: Any, *found: Location, absent: str = "allow", asked: bool = True) -> Finding:
    policy = load_policy()
    presence = replace(policy.locate, when_absent=type(policy.locate.when_absent)(absent))
    evidence = gather(release.report, models_dir=release.models)
    evidence = replace(evidence, located=found if asked else None)
    return judge(evidence, replace(policy, locate=presence)).findings[-1]


def test_it_is_the_last_rule_and_not_judged_unless_asked(good: Any) -> None:
    finding = rule(good, asked=False)
    assert (finding.rule, finding.outcome) == ("locate", Outcome.NOT_JUDGED)
    assert rule(good, asked=False, absent="refuse").outcome is Outcome.COULD_NOT


def test_a_fault_a_file_of_other_bytes_and_a_missing_one_are_no_pass(good: Any) -> None:
    right = Location("tiny_np", "portable", good.sha256, "No part creates error.", "")
    assert rule(good, right).outcome is Outcome.PASS
    faulty = replace(right, sentence="5 creates the error: 1e-3", first="5")
    finding = rule(good, faulty)
    assert finding.outcome is Outcome.FAIL
    assert "5 creates the error" in finding.saw
    assert rule(good, replace(right, sha256="0" * 64)).outcome is Outcome.COULD_NOT
    assert rule(good, replace(right, problem="no image")).outcome is Outcome.COULD_NOT
    assert rule(good).outcome is Outcome.COULD_NOT


def test_each_candidate_is_looked_for_among_the_files_that_are_named(
    good: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
        given.append(f"tiny_np={tmp_path / name}")
    evidence = gather(good.report, models_dir=good.models)
    (first,) = evidence.subjects
    subjects = [
        replace(first, variant=variant, about={"file": {"sha256": sha256_bytes(name)}})
        for variant, name in (("candidate", b"a"), ("candidate #2", b"b"))
    ]
    looked: list[Path] = []

    def locate(question: Any) -> None:
        looked.append(question.candidate)
        raise ParityError("looked", hint="")

    monkeypatch.setattr("trufor_onnx.parity.locate.run.locate", locate)
    located(replace(evidence, subjects=tuple(subjects)), WeightsSource(None, "a"), tmp_path, given)
    assert looked == [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(ParityError, match="the report has no such network"):
        located(evidence, WeightsSource(None, "a"), tmp_path, ["other=x.onnx"])


@pytest.fixture
def one_weight() -> Callable[[Path], None]:
    def change(path: Path) -> None:
        proto = onnx.load(path)
        set_weight(proto, "5.weight", lambda array: scale_one(array, 1.001))
        onnx.save(proto, path)

    return change


def test_one_weight_stops_the_gate_and_its_layer_is_named(
    make_release: Callable[..., Any],
    one_weight: Callable[[Path], None],
    tiny: dict[str, ModelSpec],  # noqa: ARG001 - registers the tiny networks
    make_images: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    release = make_release(change=one_weight)
    images = make_images(1, folder="for_locate", size=(96, 128))
    capsys.readouterr()
    words = ["gate", release.report, "--onnx-models", release.models, "--json", "--locate"]
    options = ["--weights", release.weights, "--images", images]
    assert main([str(word) for word in (*words, *options)]) == 1
    decision = json.loads(capsys.readouterr().out)
    assert "locate" in decision["stopped_by"]
    saw = decision["rules"][-1]["saw"]
    assert saw.startswith("tiny_np: 5 creates the error: ")
    assert "5.weight: 1 of 36 numbers differ" in saw
