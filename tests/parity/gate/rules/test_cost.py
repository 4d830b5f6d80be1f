"""What a release costs: peaks and times held to the release before, and to their noise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.parity.gate.conftest import of
from trufor_onnx.parity.gate.policy import Policy
from trufor_onnx.parity.results.findings import Outcome

Make = Callable[..., Any]


def test_the_old_file_in_turns_needs_no_baseline_of_this_machine(
    good: Any, write_bench: Make
) -> None:
    old = write_bench("old", seed=1, processor="another processor")
    given = {"sha256": good.sha256, "old": "f" * 64}
    same = good.judged(old, bench=write_bench("same", seed=2, **given))
    assert of(same, "latency").outcome is Outcome.PASS
    assert "in turns" in of(same, "latency").saw
    slow = good.judged(old, bench=write_bench("slow", seed=2, slower=1.3, **given))
    assert slow.stopped_by == ("latency",)


def test_more_memory_than_before(good: Any, write_bench: Make) -> None:
    old = write_bench("old", peak=400 << 20)
    new = write_bench("new", peak=500 << 20, sha256=good.sha256, old="f" * 64)
    assert good.judged(old, bench=new).stopped_by == ("memory",)
    assert of(good.judged(new, bench=new), "memory").outcome is Outcome.PASS


def test_a_measurement_that_was_left_out(good: Any, write_bench: Make) -> None:
    old = write_bench("old")
    document = json.loads(write_bench("new", sha256=good.sha256).read_text())
    for part in ("latency", "memory"):
        document[part] = [
            row for row in document[part] if row["contestant"]["backend"] != "onnxruntime"
        ]
    new = old.with_name("less.json")
    new.write_text(json.dumps(document))
    found = of(good.judged(old, bench=new), "latency")
    assert found.outcome is Outcome.COULD_NOT


def test_noise_that_could_hide_a_slowdown_is_no_pass(good: Any, write_bench: Make) -> None:
    noisy = {"noise": 1.0, "rounds": 12, "sha256": good.sha256, "old": "f" * 64}
    found = of(good.judged(write_bench("old"), bench=write_bench("new", **noisy)), "latency")
    assert found.outcome is Outcome.COULD_NOT
    assert "too noisy to exclude 30%" in found.saw


def test_two_runs_are_judged_where_the_policy_says_so(
    good: Any, write_bench: Make, policy: Callable[[str], Policy]
) -> None:
    lax = policy("[latency]\nreason = 'a machine of its own'\nacross_runs = 'judge'\n")
    old, new = write_bench("old", seed=1), write_bench("new", seed=2, sha256=good.sha256)
    assert of(good.judged(old, bench=new, policy=lax), "latency").outcome is Outcome.PASS
    assert of(good.judged(old, bench=new), "latency").outcome is Outcome.COULD_NOT


def test_another_machine_may_be_let_pass_unjudged(
    good: Any, write_bench: Make, policy: Callable[[str], Policy]
) -> None:
    lax = policy("[latency]\nreason = 'CI moves'\nother_environment = 'warn'\n")
    old = write_bench("old", processor="another processor")
    new = write_bench("new", sha256=good.sha256)
    found = of(good.judged(old, bench=new, policy=lax), "latency")
    assert found.outcome is Outcome.NOT_JUDGED and "another processor" in found.saw


def test_the_old_file_is_known_by_the_baseline_s_parity_report_too(
    good: Any, write_bench: Make
) -> None:
    given = {"sha256": good.sha256, "old": good.sha256}
    same = good.judged(good.report, bench=write_bench("same", seed=2, **given))
    assert of(same, "latency").outcome is Outcome.PASS
    slow = good.judged(good.report, bench=write_bench("slow", seed=2, slower=1.3, **given))
    assert slow.stopped_by == ("latency",)
    alone = good.judged(good.report, bench=write_bench("alone", sha256=good.sha256))
    assert of(alone, "latency").outcome is Outcome.NOT_JUDGED


def test_a_slowdown_is_caught_and_none_is_not_over_many_draws(
    write_bench: Make,
) -> None:
    """40 releases of each kind on a machine that swings by 8 % from round to round."""
    from trufor_onnx.parity.gate.costs import changes_across, costs_of

    def costs(**given: Any) -> Any:
        path = write_bench("x", **given)
        return costs_of(json.loads(path.read_text()), "x")

    alarms = caught = 0
    for seed in range(40):
        old = costs(seed=seed, drift=0.5 + seed / 40)
        for slower in (1.0, 1.3):
            new = costs(seed=100 + seed, slower=slower)
            (change,) = changes_across(new, old, 0.99).values()
            if slower == 1.0:
                alarms += change.slower(0.1) or change.may_hide(0.3)
            else:
                caught += change.slower(0.1)
    assert (alarms, caught) == (0, 40)


def of_another_file(good: Any, folder: Path) -> Any:
    """The release before: its file has another digest."""
    before = good.copy(folder)

    def other(document: dict[str, Any]) -> None:
        about = document["models"]["tiny_np"]
        for entry in (about, about["variants"]["portable"]):
            entry["file"]["sha256"] = "f" * 64
        if about.get("seed"):
            about["seed"]["value"] += 1  # it had its own sizes

    before.edit(other)
    return before


def test_the_old_file_s_peak_in_the_same_run(good: Any, write_bench: Make, tmp_path: Path) -> None:
    before = of_another_file(good, tmp_path / "before").report
    given = {"sha256": good.sha256, "old": "f" * 64, "old_peak": 149 << 20}
    grown = good.judged(before, bench=write_bench("grown", peak=608 << 20, **given))
    assert grown.stopped_by == ("memory",)
    assert "the old file's, in the same run, is 156,237,824" in of(grown, "memory").saw
    equal = good.judged(before, bench=write_bench("equal", peak=150 << 20, **given))
    assert of(equal, "memory").outcome is Outcome.PASS


@pytest.mark.parametrize("with_baseline", [True, False])
def test_a_candidate_that_no_baseline_has_is_compared_too(
    good: Any, write_bench: Make, with_baseline: bool
) -> None:
    given = {"sha256": good.sha256, "old": "a" * 64, "old_peak": 149 << 20}
    baselines = [good.report] if with_baseline else []
    grown = good.judged(*baselines, bench=write_bench("grown", peak=608 << 20, **given))
    assert grown.stopped_by == ("memory",)
    equal = good.judged(*baselines, bench=write_bench("equal", peak=150 << 20, **given))
    wanted = Outcome.NOT_JUDGED if with_baseline else Outcome.PASS
    assert of(equal, "memory").outcome is wanted


@pytest.mark.parametrize("what", ["no bench", "elsewhere", "another size"])
@pytest.mark.parametrize("refuse", [False, True])
def test_costs_without_anything_to_compare_with_are_not_judged(
    good: Any, write_bench: Make, policy: Callable[[str], Policy], what: str, refuse: bool
) -> None:
    """Budgets hold, and that is no comparison with the release before."""
    new = write_bench("new", sha256=good.sha256, processor="this one")
    old = {
        "no bench": good.report,
        "elsewhere": write_bench("old", sha256=good.sha256, processor="another"),
        "another size": write_bench("larger", sha256=good.sha256, processor="this one", size=512),
    }[what]
    text = "".join(
        f'[{rule}]\nreason = "x"\nwhen_absent = "{"refuse" if refuse else "allow"}"\n'
        for rule in ("memory", "latency")
    )
    decision = good.judged(old, bench=new, policy=policy(text + 'other_environment = "warn"\n'))
    wanted = Outcome.COULD_NOT if refuse else Outcome.NOT_JUDGED
    assert of(decision, "memory").outcome is wanted
    unlike = what == "another size"  # a measurement that is missing now stops by itself
    assert of(decision, "latency").outcome is (Outcome.COULD_NOT if unlike else wanted)
