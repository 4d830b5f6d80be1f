"""Contestants in turns: who is measured, who fails, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any

import psutil
import pytest

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.results.timing import TimingOutcome, round_medians
from trufor_onnx.parity.timing import contest
from trufor_onnx.parity.timing.contest import Worker, compared, hold_contest
from trufor_onnx.parity.timing.plan import Rules

RULES = Rules(rounds=6, min_seconds=0.0, warmups=1, turn_ms=0.5, threads=1, seed=3)


@pytest.fixture(autouse=True)
def no_process_is_left() -> Any:
    before = _children()  # of earlier tests, such as a pool's resource tracker
    yield
    assert _children() <= before


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_a_contest_of_good_bad_and_absent(task: Any, contestant: Any) -> None:
    tasks = {
        contestant("portable"): task(),
        contestant("other"): task("Neg"),
        contestant("bad"): task("Log"),
        contestant("gone", provider="cuda"): task(provider="cuda", required=False),
        contestant("wanted", provider="cuda"): task(provider="cuda"),
    }
    said: list[str] = []
    rows = hold_contest(tasks, (8, 8), RULES, said.append)
    assert [row.contestant for row in rows] == list(tasks)
    assert [row.outcome for row in rows] == [
        TimingOutcome.MEASURED,
        TimingOutcome.MEASURED,
        TimingOutcome.ERROR,
        TimingOutcome.NOT_RUN,
        TimingOutcome.ERROR,
    ]
    assert "not finite" in rows[2].reason and "did not load" in rows[3].reason
    for row in rows[:2]:
        assert [one.name for one in row.series] == ["a", "b"]
        counts = {len(one.samples_ns) for one in row.series}
        assert len(counts) == 1 and counts.pop() % RULES.rounds == 0
        for one in row.series:
            assert set(one.rounds) == set(range(RULES.rounds))
            assert list(one.rounds) == sorted(one.rounds)
        assert row.noise is not None and row.noise_floor is not None and row.noise_floor >= 1.0
    for row in rows[2:]:
        assert row.series == () and row.summary is None
    assert f"round {RULES.rounds}," in said[-1]


def test_a_contestant_that_dies_midway_is_an_error_and_the_rest_goes_on(
    task: Any, contestant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    call = Worker.call

    def deadly(worker: Worker, count: int) -> list[int]:
        nonlocal calls
        calls += 1
        if calls == 9:  # two warm-ups and some rounds of two contestants
            os.kill(worker._process.pid, signal.SIGKILL)
        return call(worker, count)

    monkeypatch.setattr(Worker, "call", deadly)
    rows = hold_contest({contestant("x"): task(), contestant("y"): task()}, (8, 8), RULES)
    assert sorted(row.outcome for row in rows) == [TimingOutcome.ERROR, TimingOutcome.MEASURED]
    dead = next(row for row in rows if row.outcome is TimingOutcome.ERROR)
    assert "ended with code -9" in dead.reason and dead.series == ()


def test_ctrl_c_leaves_no_process(
    task: Any, contestant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(contest, "_take_turns", interrupted)
    with pytest.raises(KeyboardInterrupt):
        hold_contest({contestant(): task()}, (8, 8), RULES)


class Turns:
    """Stands for `Worker`: keeps who was called when, and takes a made-up time."""

    called: list[tuple[str, int]]
    time_ns: dict[str, int]

    def __init__(self, task: Any) -> None:
        self.path = task.path
        self.session_ns = self.first_call_ns = 1

    def call(self, count: int) -> list[int]:
        self.called.append((self.path, count))
        return [self.time_ns[self.path]] * count

    def close(self) -> None:
        pass


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> type[Turns]:
    kind = type("Kind", (Turns,), {"called": [], "time_ns": {"fast": 10**6, "slow": 10**7}})
    monkeypatch.setattr(contest, "Worker", kind)
    return kind


def hold(task: Any, contestant: Any, rules: Rules) -> Any:
    tasks = {contestant(name): task(path=name) for name in ("fast", "slow")}
    return hold_contest(tasks, (8, 8), rules)


def test_every_round_has_every_process_once_in_another_order(
    task: Any, contestant: Any, turns: type[Turns]
) -> None:
    hold(task, contestant, Rules(rounds=12, min_seconds=0.0, warmups=2, seed=5))
    warm, rest = turns.called[:4], turns.called[4:]
    assert sorted(warm) == [("fast", 2)] * 2 + [("slow", 2)] * 2
    rounds = [rest[start : start + 4] for start in range(0, len(rest), 4)]
    assert len(rounds) == 12
    assert all(sorted(path for path, _ in one) == ["fast"] * 2 + ["slow"] * 2 for one in rounds)
    assert len({tuple(one) for one in rounds}) > 2
    assert {count for _, count in rest} == {3}  # 30 ms of the slowest, for both


def test_the_order_follows_from_the_seed(task: Any, contestant: Any, turns: type[Turns]) -> None:
    orders = []
    for seed in (1, 1, 2):
        turns.called.clear()
        hold(task, contestant, Rules(rounds=8, min_seconds=0.0, seed=seed))
        orders.append(list(turns.called))
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.usefixtures("turns")
def test_rounds_go_on_for_the_least_time_but_not_for_ever(task: Any, contestant: Any) -> None:
    rules = Rules(rounds=5, min_seconds=0.06, turn_ms=30.0)
    fast, slow = hold(task, contestant, rules)
    assert max(fast.series[0].rounds) + 1 == 20  # 20 turns of 3 ms
    assert fast.series[0].rounds == slow.series[0].rounds
    capped = Rules(rounds=5, min_seconds=1e9, most_rounds=7)
    assert max(hold(task, contestant, capped)[0].series[0].rounds) + 1 == 7


@pytest.mark.parametrize("rounds", [0, 4, 501])
def test_too_few_rounds_are_refused(rounds: int) -> None:
    with pytest.raises(ParityError, match=f"{rounds} rounds"):
        Rules(rounds=rounds)


@pytest.mark.usefixtures("turns")
def test_ratios_are_of_the_same_rounds(task: Any, contestant: Any) -> None:
    rows = hold(task, contestant, Rules(rounds=6, min_seconds=0.0))
    base, slow = compared(rows, "fast", Rules())
    assert base.is_baseline and base.ratio is None
    assert slow.ratio is not None and slow.ratio.estimate == pytest.approx(10.0)
    assert slow.within_noise is False
    assert compared(rows, "onnxruntime", Rules())[0].is_baseline  # a backend: the first of it


def test_the_same_thing_twice_is_within_the_noise(latency: Any) -> None:
    rows = compared([latency("portable"), latency("other")], "portable", Rules())
    assert rows[1].ratio is not None and rows[1].within_noise is True
    times = [round_medians(row.series) for row in rows]
    assert times[0] == times[1]


def test_without_a_measured_baseline_there_are_no_ratios(latency: Any) -> None:
    rows = [latency("portable"), latency("other")]
    assert compared(rows, "plain", Rules()) == rows
    failed = replace(rows[0], outcome=TimingOutcome.ERROR, series=(), summary=None)
    assert compared([failed, rows[1]], "portable", Rules()) == [failed, rows[1]]
