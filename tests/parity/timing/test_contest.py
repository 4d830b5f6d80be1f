"""Contestants in turns: who is measured, who fails, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from trufor_onnx.errors import ParityError, ProviderRunError
from trufor_onnx.parity.results.timing import TimingOutcome, round_medians
from trufor_onnx.parity.timing import contest
from trufor_onnx.parity.timing import contest as process
from trufor_onnx.parity.timing import worker as peak
from trufor_onnx.parity.timing.contest import Worker, compared, hold_contest, measure_memory
from trufor_onnx.parity.timing.plan import Rules
from trufor_onnx.parity.timing.worker import peak_bytes

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


GROW = """
from trufor_onnx.parity.timing.worker import peak_bytes
before = peak_bytes()
block = bytearray(64 << 20)
block[::4096] = b"x" * len(block[::4096])
del block
print(before, peak_bytes())
"""


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_a_worker_calls_saves_and_tells_its_memory(task: Any, tmp_path: Path) -> None:
    before = children()
    with Worker(task()) as worker:
        assert children() > before
        assert worker.session_ns > 0 and worker.first_call_ns > 0
        samples = worker.call(3)
        assert len(samples) == 3 and all(sample > 0 for sample in samples)
        assert worker.call(0) == []
        peak = worker.ask("peak")
        assert 10e6 < peak["baseline_bytes"] <= peak["peak_bytes"]
        worker.ask("save", path=str(tmp_path / "out.npz"))
        with pytest.raises(ParityError, match="unknown command 'dance'"):
            worker.ask("dance")
        assert len(worker.call(1)) == 1  # an error does not end it
    assert children() == before
    with np.load(tmp_path / "out.npz") as outputs:
        assert (outputs["y"] == 1.0).all()


def test_an_output_that_is_no_number_is_an_error(task: Any) -> None:
    before = children()
    with pytest.raises(ParityError, match="output y is not finite"):
        Worker(task("Log"))
    assert children() == before


def test_a_file_that_is_no_model_is_an_error(task: Any, tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="cannot load it on cpu"):
        Worker(task(path=str(tmp_path / "none.onnx")))


def test_a_device_that_is_absent_is_a_provider_error(task: Any) -> None:
    with pytest.raises(ProviderRunError, match="CUDAExecutionProvider did not load"):
        Worker(task(provider="cuda"))


def test_a_worker_that_dies_says_how(task: Any) -> None:
    before = children()  # of earlier tests, such as a pool's resource tracker
    with Worker(task()) as worker:
        (pid,) = children() - before
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ParityError, match="ended with code -9"):
            worker.call(1)
        with pytest.raises(ParityError, match="ended with code -9"):
            worker.call(1)


def test_a_worker_that_cannot_start_shows_its_last_words(
    task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "MODULE", "trufor_onnx.parity.timing.none")
    with pytest.raises(
        ParityError, match=r"code 1 \(.*No module named trufor_onnx.parity.timing.none\)"
    ):
        Worker(task())


def test_a_worker_ends_with_its_parent_and_leaves_ctrl_c_to_it(task: Any) -> None:
    """Its input ends when the parent is gone, however that went."""
    command = [sys.executable, "-m", process.MODULE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        line = {"do": "open", "task": asdict(task())}
        child.stdin.write(json.dumps(line).encode() + b"\n")
        child.stdin.flush()
        assert "session_ns" in json.loads(child.stdout.readline())
        child.send_signal(signal.SIGINT)
        child.stdin.write(b'{"do": "call", "count": 1}\n')
        child.stdin.flush()
        assert len(json.loads(child.stdout.readline())["ns"]) == 1
        child.stdin.close()
        assert child.wait(timeout=60) == 0


def test_what_a_library_prints_does_not_come_between_the_answers(task: Any) -> None:
    script = (
        "import os, sys\n"
        "from trufor_onnx.parity.timing import worker\n"
        "answer = worker.Stand.answer\n"
        "def noisy(stand, command):\n"
        "    os.write(1, b'library says hello\\n'); print('hello', flush=True)\n"
        "    return answer(stand, command)\n"
        "worker.Stand.answer = noisy\n"
        "sys.exit(worker.main())\n"
    )
    line = json.dumps({"do": "open", "task": asdict(task())}) + "\n"
    done = subprocess.run(
        [sys.executable, "-c", script], input=line, capture_output=True, text=True, check=True
    )
    assert set(json.loads(done.stdout)) == {"session_ns", "first_call_ns"}
    assert done.stderr.count("hello") == 2


def test_the_peak_stays_when_the_memory_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", GROW], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 60 << 20 < after - before < 80 << 20


def test_a_small_child_of_a_large_parent_is_small() -> None:
    """What ``ru_maxrss`` gets wrong: it would begin with this process's own size."""
    block = bytearray(256 << 20)
    block[::4096] = b"x" * len(block[::4096])
    done = subprocess.run([sys.executable, "-c", GROW], capture_output=True, text=True, check=True)
    assert psutil.Process().memory_info().rss > 256 << 20
    assert int(done.stdout.split()[1]) < 200 << 20


def test_without_proc_the_resource_module_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exact = peak_bytes()
    monkeypatch.setattr(peak, "_STATUS", tmp_path / "none")
    assert exact * 0.9 < peak_bytes()
    (tmp_path / "none").write_text("Name: x\n")
    assert exact * 0.9 < peak_bytes()


def test_a_contestant_s_memory_and_what_prevents_it(task: Any, contestant: Any) -> None:
    found = measure_memory(contestant(), task(), (8, 8))
    assert found.outcome is TimingOutcome.MEASURED
    assert found.added_bytes is not None and found.added_bytes > 0
    assert found.baseline_bytes is not None and found.baseline_bytes > 10e6
    bad = measure_memory(contestant(), task("Log"), (8, 8))
    assert (bad.outcome, bad.peak_bytes) == (TimingOutcome.ERROR, None)
    assert "not finite" in bad.reason
    for required, outcome in ((True, TimingOutcome.ERROR), (False, TimingOutcome.NOT_RUN)):
        given = task(provider="cuda", required=required)
        assert measure_memory(contestant(provider="cuda"), given, (8, 8)).outcome is outcome
