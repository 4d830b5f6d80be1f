"""Time and memory of a ``bench.json``, as the gate and the history read them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.rows import SOURCE
from trufor_onnx.parity.results.statistics import Interval, median_interval, ratio_interval
from trufor_onnx.parity.results.timing import (
    KIND,
    BenchReport,
    LatencyFigures,
    TimingOutcome,
    from_document,
    round_medians,
)

Key = tuple[Contestant, str]  # and the size
SETTINGS = ("threads", "spinning")
CANDIDATE = "candidate"
IN_TURNS = "both files timed in turns"
OVER_PYTORCH = "as multiples of PyTorch's, round by round"
AS_TIMES = "as times of two runs"


@dataclass(frozen=True)
class Cost:
    """One model x variant x backend x provider x size.

    Attributes:
        size: ``512x512``, height by width in pixels.
        round_ns: the median warm call of each round, in ns, over both processes.
        floor: the A/A floor: by how much its two processes differ, 0.02 for 2 %.
        peak_bytes: resident set of a fresh process, or None.
        sha256: the digest of the file ("" where there is none).
        problem: why it was not timed, or "".
    """

    model: str
    variant: str
    backend: str
    provider: str
    size: str
    round_ns: Mapping[int, float]
    floor: float
    peak_bytes: int | None
    sha256: str
    problem: str

    @property
    def key(self) -> Key:
        """What makes two measurements the same thing measured twice."""
        return Contestant.of(self), self.size

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"{self.model} {self.variant} on {self.provider} at {self.size}"

    @property
    def is_candidate(self) -> bool:
        """Not PyTorch, the yardstick."""
        return self.backend != SOURCE


@dataclass(frozen=True)
class Costs:
    """One run's costs.

    Attributes:
        environment: where it was made, and with which settings.
        entries: by key.
    """

    environment: Mapping[str, str]
    entries: Mapping[Key, Cost]


def is_costs(document: Mapping[str, Any]) -> bool:
    """Whether a document is a bench report and not a parity report."""
    return document.get("kind") == KIND


def costs_of(document: Mapping[str, Any], name: str) -> Costs:
    """The costs that a document holds.

    Raises:
        ParityError: it is no bench report, of another version, or contradicts itself.
    """
    report = from_document(document, name)
    digests = {(file.model, file.variant): file.sha256 for file in report.files}
    peaks = {
        (row.contestant, row.height, row.width): row.peak_bytes
        for row in report.memory
        if row.outcome is TimingOutcome.MEASURED
    }
    entries = {}
    for row in report.latency:
        who = row.contestant
        cost = Cost(
            model=who.model,
            variant=who.variant,
            backend=who.backend,
            provider=who.provider,
            size=f"{row.height}x{row.width}",
            round_ns=round_medians(row.series),
            floor=(row.noise_floor or 1.0) - 1.0,
            peak_bytes=peaks.get((who, row.height, row.width)),
            sha256=digests.get((who.model, who.variant), ""),
            problem=_problem(row),
        )
        entries[cost.key] = cost
    return Costs(_deciding(report), entries)


def _problem(row: LatencyFigures) -> str:
    if row.outcome is not TimingOutcome.MEASURED:
        return f"{row.outcome}: {row.reason}"
    return "" if row.series and row.noise_floor else "no samples"


def _deciding(report: BenchReport) -> dict[str, str]:
    """What decides times, by name; our own version is not among it: it is what changes."""
    packages = report.environment.get("packages")
    found = {f"package {k}": str(v) for k, v in packages.items()} if packages else {}
    found.pop("package trufor-onnx", None)
    for name in ("processor", "logical_processors", "system"):
        found[name] = str(report.environment.get(name))
    return found | {name: str(report.settings.get(name)) for name in SETTINGS}


@dataclass(frozen=True)
class Change:
    """One timing in two releases.

    Attributes:
        name: of what.
        ratio: new over old, with its interval; None where samples are too few.
        floor: the largest A/A floor of what was compared.
        of: what was compared.
        problem: why there is no ratio, or "".
    """

    name: str
    ratio: Interval | None
    floor: float
    of: str
    problem: str = ""

    def slower(self, least_effect: float) -> bool:
        """Whether even the least ratio that the samples allow is more than the least effect, and
        the median is more than two processes of one thing differ by.
        """
        limit, floor = 1.0 + least_effect, 1.0 + self.floor
        return self.ratio is not None and self.ratio.low > limit and self.ratio.median > floor

    def may_hide(self, effect: float) -> bool:
        """Whether a change of this share is still possible: too noisy to say that there is none."""
        return self.ratio is not None and not self.ratio.high < 1.0 + effect

    def faster(self, least_effect: float) -> bool:
        """The other way round."""
        limit, floor = 1.0 + least_effect, 1.0 + self.floor
        found = self.ratio
        return found is not None and found.high < 1.0 / limit and found.median < 1.0 / floor

    def __str__(self) -> str:
        if self.ratio is None:
            return self.problem
        low, middle, high = (
            f"{v:.2f}" for v in (self.ratio.low, self.ratio.median, self.ratio.high)
        )
        how = f"{low} to {high}; A/A floor {self.floor:.0%}; {self.of}"
        return f"{self.name}: {middle} times the baseline's time ({how})"


def changes_in_turns(
    now: Costs, old_files: Mapping[tuple[str, str], Collection[str]], confidence: float
) -> dict[Key, Change]:
    """Every file that was timed in turns with an old one (`--candidate MODEL=OLD.onnx`).

    Args:
        now: the new run.
        old_files: digests of the old files, by model and variant.
        confidence: of the intervals.
    """
    found = {}
    for key, cost in now.entries.items():
        who = replace(Contestant.of(cost), variant=CANDIDATE)
        beside = now.entries.get((who, cost.size))
        if beside is None or beside is cost or not cost.is_candidate:
            continue
        known = beside.sha256 and beside.sha256 in old_files.get((cost.model, cost.variant), ())
        if known and not cost.problem and not beside.problem:
            ratios = _in_rounds(cost, beside)
            ratio = median_interval(ratios, confidence)
            found[key] = _change(cost, ratio, (cost, beside), IN_TURNS, f"{len(ratios)} rounds")
    return found


def changes_across(now: Costs, old: Costs, confidence: float) -> dict[Key, Change]:
    """Every candidate that was timed in both of two runs.

    A machine's speed swings from minute to minute. So where PyTorch was timed in the same rounds,
    what is compared is the time as a multiple of PyTorch's, round by round. That helps, and is
    no match for timing both files in turns: docs/gate.md has the figures.
    """
    found = {}
    for key, cost in now.entries.items():
        before = old.entries.get(key)
        if before is None or not cost.is_candidate or cost.variant == CANDIDATE:
            continue
        if before.problem or cost.problem:
            continue  # `unmeasured` speaks of these
        of, ours, theirs = OVER_PYTORCH, _over_pytorch(now, cost), _over_pytorch(old, before)
        if not (ours and theirs):
            of, ours, theirs = AS_TIMES, [*cost.round_ns.values()], [*before.round_ns.values()]
        ratio = ratio_interval(ours, theirs, confidence)
        counts = f"{len(ours)} and {len(theirs)} rounds"
        found[key] = _change(cost, ratio, (cost, before), of, counts)
    return found


def files_of(costs: Costs) -> dict[tuple[str, str], set[str]]:
    """Digests of the files that were timed, by model and variant."""
    found: dict[tuple[str, str], set[str]] = {}
    for cost in costs.entries.values():
        if cost.sha256:
            found.setdefault((cost.model, cost.variant), set()).add(cost.sha256)
    return found


def unmeasured(now: Costs, old: Costs) -> Iterator[str]:
    """What the old run has of the new one's networks, and the new one has not."""
    models = {cost.model for cost in now.entries.values()}
    for key, before in old.entries.items():
        cost = now.entries.get(key)
        skip = before.model not in models or not before.is_candidate or before.problem
        if skip or before.variant == CANDIDATE:
            continue
        if cost is None or cost.problem:
            why = cost.problem if cost else "it was not measured"
            yield f"{before.name}: the baseline has it; {why}"


def different_environment(now: Costs, old: Costs) -> str:
    """In what two environments differ that decides times, or ""."""
    ours, theirs = now.environment, old.environment
    different = [
        key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)
    ]
    return ", ".join(f"{key} {theirs.get(key)} there, {ours.get(key)} here" for key in different)


def _change(
    cost: Cost, ratio: Interval | None, sides: Sequence[Cost], of: str, counts: str
) -> Change:
    problem = "" if ratio else f"{cost.name}: {counts} are too few for this confidence"
    return Change(cost.name, ratio, max(side.floor for side in sides), of, problem)


def _over_pytorch(run: Costs, cost: Cost) -> list[float]:
    """Times over PyTorch's in the same rounds; empty where it was not timed."""
    for other in run.entries.values():
        if not other.is_candidate and (other.model, other.size) == (cost.model, cost.size):
            return _in_rounds(cost, other)
    return []


def _in_rounds(cost: Cost, other: Cost) -> list[float]:
    rounds = [number for number in cost.round_ns if number in other.round_ns]
    return [cost.round_ns[number] / other.round_ns[number] for number in rounds]
