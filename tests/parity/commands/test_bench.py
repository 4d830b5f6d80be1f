"""Options become a plan, or an error that says how to mend them."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.commands.bench import add_arguments, plan_of
from trufor_onnx.parity.timing.plan import BenchPlan


def plan(*words: str) -> BenchPlan:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return plan_of(parser.parse_args(["--models", "mit_b2", *words]))


def test_defaults() -> None:
    found = plan()
    assert found.models == ("mit_b2",)
    assert (found.variants, found.sizes, found.backends) == (
        ("portable",),
        ((256, 256),),
        ("onnxruntime",),
    )
    assert (found.baseline, found.memory, found.images) == (
        "portable",
        True,
        Path("sample_dataset"),
    )
    assert [provider.name for provider in found.providers] == ["cpu"]
    assert not found.rules.spinning
    assert plan().rules.seed != found.rules.seed  # drawn anew each time


def test_everything_can_be_chosen() -> None:
    found = plan(
        *("--variant", "plain, ort,plain", "--size", "256,480x640,256", "--backends"),
        *("onnxruntime,torch32", "--threads", "3", "--repeats", "9", "--min-seconds", "0.5"),
        *("--seed", "42", "--compare-to", "torch32", "--no-memory", "--spinning"),
        *("--candidate", "mit_b2=x.onnx", "--models", "mit_b2,noiseprint_pp"),
    )
    assert found.variants == ("plain", "ort")
    assert found.sizes == ((256, 256), (480, 640))
    assert found.backends == ("onnxruntime", "torch32")
    assert found.models == ("mit_b2", "noiseprint_pp")
    assert found.candidates == {"mit_b2": Path("x.onnx")}
    assert (found.baseline, found.memory) == ("torch32", False)
    rules = found.rules
    assert (rules.threads, rules.rounds, rules.min_seconds, rules.seed) == (3, 9, 0.5, 42)
    assert rules.spinning


def test_two_candidates_of_a_network_are_refused() -> None:
    with pytest.raises(ParityError, match=r"2 files \(bad.onnx, good.onnx\)") as caught:
        plan("--candidate", "mit_b2=bad.onnx", "--candidate", "mit_b2=good.onnx")
    assert "one after the other" in caught.value.hint
    same = plan("--candidate", "mit_b2=x.onnx", "--candidate", "mit_b2=./x.onnx")
    assert same.candidates == {"mit_b2": Path("x.onnx")}


@pytest.mark.parametrize("option", ["--variant", "--size", "--backends", "--providers"])
def test_a_list_that_is_given_twice_is_refused(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        plan(option, "a", option, "b")
    assert ended.value.code == 2
    assert "with commas between them" in capsys.readouterr().err


def test_the_first_variant_is_the_baseline_where_none_is_named() -> None:
    assert plan("--variant", "plain,ort").baseline == "plain"
    assert plan("--backends", "torch32").baseline == "torch32"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--threads", "-1"), "--threads must be 0 or more"),
        (("--repeats", "4"), "4 rounds"),
        (("--repeats", "100000"), "100000 rounds"),
        (("--min-seconds", "-1"), "--min-seconds"),
        (("--min-seconds", "nan"), "--min-seconds"),
        (("--min-seconds", "inf"), "--min-seconds"),
        (("--size", "big"), "--size big: no size"),
        (("--size", "0"), "no size"),
        (("--size", "256x"), "no size"),
        (("--size", "-5"), "no size"),
        (("--size", "1x2x3"), "no size"),
        (("--size", ","), "--size names nothing"),
        (("--variant", ""), "--variant names nothing"),
        (("--backends", "caffe"), "unknown backend: caffe"),
        (("--compare-to", "ort"), "--compare-to ort: not measured here"),
        (("--providers", "gpu"), "unknown provider"),
        (("--candidate", "mit_b2"), "not MODEL=FILE"),
        (("--candidate", "other=x.onnx"), "which --models does not"),
    ],
)
def test_what_cannot_be_used_is_an_error_with_a_hint(words: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ParityError) as caught:
        plan(*[f"{words[0]}={words[1]}"])
    assert problem in caught.value.problem and caught.value.hint
