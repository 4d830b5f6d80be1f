"""Contestants at one size, in turns, each in worker processes that are never left behind.

Each contestant has two processes, ``a`` and ``b``, alike but for the name: how far these two are
apart is what two alike things can seem to differ by (the A/A noise floor). In each round every
process has one turn, in an order drawn anew. Why processes and not sessions of one process:
docs/bench.md.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from trufor_onnx.documents import parse_json
from trufor_onnx.errors import ParityError, ProviderRunError
from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.statistics import is_within_noise, noise_floor, paired_ratio
from trufor_onnx.parity.results.timing import (
    LatencyFigures,
    MemoryFigures,
    Series,
    TimingOutcome,
    round_medians,
    summarise,
)
from trufor_onnx.parity.timing.plan import Rules, Size, Task

MODULE = "trufor_onnx.parity.timing.worker"
SHOWN = 300  # characters of what a dead worker said last


NAMES = ("a", "b")
MOST_CALLS = 50  # in a turn
Say = Callable[[str], None]


class Worker:
    """One process that runs one task on command, and waits in between.

    Args:
        task: what it runs.

    Attributes:
        session_ns: the time to make the session.
        first_call_ns: the first call.

    Raises:
        ProviderError: the provider is not there, or computes nothing.
        ParityError: it cannot run the task, or it died.
    """

    def __init__(self, task: Task) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        try:
            opened = self.ask("open", task=asdict(task))
        except BaseException:
            self.close()
            raise
        self.session_ns: int = opened["session_ns"]
        self.first_call_ns: int = opened["first_call_ns"]

    def call(self, count: int) -> list[int]:
        """Let it make so many calls. Returns their times in ns."""
        samples: list[int] = self.ask("call", count=count)["ns"]
        return samples

    def ask(self, what: str, **details: Any) -> dict[str, Any]:
        """Send one command and wait for its answer.

        Raises:
            ProviderError, ParityError: as the worker says; it died.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(json.dumps({"do": what, **details}).encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line.endswith(b"\n"):
            raise ParityError(
                f"its process ended with code {self._process.wait()}{self._last_words()}",
                hint="-9 is what the system does where memory ran out: smaller --size",
            )
        answer: dict[str, Any] = parse_json(line)
        if "problem" in answer:
            kind = ProviderRunError if answer["absent"] else ParityError
            raise kind(answer["problem"], hint=answer["hint"])
        return answer

    def close(self) -> None:
        """End the process at once, whatever it does."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:  # an unsent command to a dead process
                    continue
        self._process.wait()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f" ({lines[-1][:SHOWN]})" if lines else ""


def measure_memory(contestant: Contestant, task: Task, size: Size) -> MemoryFigures:
    """The peak memory of a contestant in a fresh process that runs its inputs twice.

    Args:
        contestant: who, for the row.
        task: what the process runs.
        size: height and width, for the row.
    """
    height, width = size
    try:
        with Worker(task) as worker:
            worker.call(1)
            found = worker.ask("peak")
    except ParityError as error:
        absent = isinstance(error, ProviderRunError) and not task.required
        outcome = TimingOutcome.NOT_RUN if absent else TimingOutcome.ERROR
        return MemoryFigures(contestant, height, width, outcome, error.problem)
    return MemoryFigures(
        contestant,
        height,
        width,
        TimingOutcome.MEASURED,
        baseline_bytes=found["baseline_bytes"],
        peak_bytes=found["peak_bytes"],
    )


@dataclass
class _Entry:
    """A contestant while it is measured."""

    task: Task
    workers: dict[str, Worker] = field(default_factory=dict)
    rounds: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in NAMES})
    samples: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in NAMES})
    outcome: TimingOutcome = TimingOutcome.MEASURED
    reason: str = ""

    def fail(self, error: ParityError) -> None:
        """Keep why, and end its processes."""
        absent = isinstance(error, ProviderRunError) and not self.task.required
        self.outcome = TimingOutcome.NOT_RUN if absent else TimingOutcome.ERROR
        self.reason = error.problem
        for worker in self.workers.values():
            worker.close()
        self.workers.clear()

    def series(self) -> tuple[Series, ...]:
        return tuple(
            Series(
                name,
                worker.session_ns,
                worker.first_call_ns,
                tuple(self.rounds[name]),
                tuple(self.samples[name]),
            )
            for name, worker in self.workers.items()
        )


def hold_contest(
    tasks: Mapping[Contestant, Task],
    size: Size,
    rules: Rules,
    say: Say = lambda text: None,  # noqa: ARG005 - the default says nothing
) -> list[LatencyFigures]:
    """Measure contestants against each other at one size. A row each, in the order given.

    What fails is a row that says why; the others go on. No process is left behind, however this
    ends.

    Args:
        tasks: the contestants, with what their processes run.
        size: height and width, for the rows.
        rules: how they take turns.
        say: told what is being done.
    """
    entries = {contestant: _Entry(task) for contestant, task in tasks.items()}
    draw = random.Random(f"{rules.seed} {size} {sorted(c.name for c in tasks)}")
    with ExitStack() as stack:
        for contestant, name in _shuffled(draw, entries):
            entry = entries[contestant]
            if entry.reason:
                continue
            say(f"{contestant.model} {contestant.name}: opening")
            try:
                worker = Worker(entry.task)
                stack.callback(worker.close)
                entry.workers[name] = worker
            except ParityError as error:
                entry.fail(error)
        _take_turns(entries, rules, draw, say)
        for entry in entries.values():  # as opened in a drawn order, named in a fixed one
            entry.workers = {name: entry.workers[name] for name in NAMES if entry.workers}
        return [_row(contestant, entry, size, rules) for contestant, entry in entries.items()]


def compared(rows: list[LatencyFigures], baseline: str, rules: Rules) -> list[LatencyFigures]:
    """The same rows with their ratios to a baseline of the same model and size.

    Args:
        rows: of one contest.
        baseline: a variant or a backend; where several are of it, the first that was measured.
        rules: the seed of the bootstrap.
    """
    base = next(
        (
            row
            for row in rows
            if row.outcome is TimingOutcome.MEASURED
            and baseline in (row.contestant.variant, row.contestant.backend)
        ),
        None,
    )
    if base is None:
        return rows
    times = round_medians(base.series)
    found = []
    for row in rows:
        if row is base:
            found.append(replace(row, is_baseline=True))
        elif row.outcome is TimingOutcome.MEASURED:
            ratio = paired_ratio(round_medians(row.series), times, seed=rules.seed)
            floors = [floor for floor in (row.noise_floor, base.noise_floor) if floor]
            within = is_within_noise(ratio, floors)
            found.append(replace(row, ratio=ratio, within_noise=within))
        else:
            found.append(row)
    return found


def _take_turns(
    entries: Mapping[Contestant, _Entry], rules: Rules, draw: random.Random, say: Say
) -> None:
    slowest = 0
    for contestant, name in _shuffled(draw, entries):
        warm = _turn(entries[contestant], name, rules.warmups)
        slowest = max(slowest, min(warm, default=0))
    calls = max(1, min(MOST_CALLS, round(rules.turn_ms * 1e6 / max(slowest, 1))))
    for number in range(rules.most_rounds):
        if number >= rules.rounds and _shortest(entries) >= rules.min_seconds * 1e9:
            break
        say(f"round {number + 1}, {calls} calls a turn")
        for contestant, name in _shuffled(draw, entries):
            entry = entries[contestant]
            samples = _turn(entry, name, calls)
            entry.samples[name] += samples
            entry.rounds[name] += [number] * len(samples)


def _turn(entry: _Entry, name: str, calls: int) -> list[int]:
    """One process's turn; nothing where its contestant has failed."""
    if name not in entry.workers:
        return []
    try:
        return entry.workers[name].call(calls)
    except ParityError as error:
        entry.fail(error)
        return []


def _shortest(entries: Mapping[Contestant, _Entry]) -> float:
    """The least time, in ns, that a process that still runs has measured."""
    times = [sum(entry.samples[name]) for entry in entries.values() for name in entry.workers]
    return min(times, default=float("inf"))


def _shuffled(
    draw: random.Random, entries: Mapping[Contestant, _Entry]
) -> list[tuple[Contestant, str]]:
    turns = [(contestant, name) for contestant in entries for name in NAMES]
    draw.shuffle(turns)
    return turns


def _row(contestant: Contestant, entry: _Entry, size: Size, rules: Rules) -> LatencyFigures:
    height, width = size
    if entry.outcome is not TimingOutcome.MEASURED:
        return LatencyFigures(contestant, height, width, entry.outcome, entry.reason)
    series = entry.series()
    first, second = (round_medians([one]) for one in series)
    noise = paired_ratio(first, second, seed=rules.seed)
    return LatencyFigures(
        contestant,
        height,
        width,
        entry.outcome,
        series=series,
        summary=summarise([sample for one in series for sample in one.samples_ns]),
        noise=noise,
        noise_floor=noise_floor(noise),
    )
