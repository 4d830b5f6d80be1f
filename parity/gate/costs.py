"""Time and memory of a ``bench.json``, as the gate and the history read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from parity.errors import ParityError
from parity.noise import Interval, ratio_interval
from parity.results import SOURCE

Key = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Cost:
    """One model x variant x backend x provider x size.

    Attributes:
        samples_ns: every warm call, in the order of the rounds.
        peak_bytes: resident set of a fresh process, or None.
    """

    model: str
    variant: str
    backend: str
    provider: str
    size: str
    samples_ns: tuple[int, ...]
    peak_bytes: int | None

    @property
    def key(self) -> Key:
        """What makes two measurements the same thing measured twice."""
        return self.model, self.variant, self.backend, self.provider, self.size

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
        environment: where it was made.
        floors: by model and size, the A/A floor: the share by which two copies of one thing
            differ.
        entries: by key.
    """

    environment: Mapping[str, Any]
    floors: Mapping[tuple[str, str], float]
    entries: Mapping[Key, Cost]


@dataclass(frozen=True)
class Change:
    """One timing in two runs.

    Attributes:
        name: of what.
        ratio: new over old, with its interval; None where samples are too few.
        floor: the larger of both runs' A/A floors.
        of: what was compared: times over the yardstick's, or times.
        problem: why there is no ratio, or "".
    """

    name: str
    ratio: Interval | None
    floor: float
    of: str
    problem: str = ""

    def slower(self, least_effect: float) -> bool:
        """Whether even the least ratio that the samples allow is beyond noise and effect."""
        return self.ratio is not None and self.ratio.low > 1.0 + max(least_effect, self.floor)

    def faster(self, least_effect: float) -> bool:
        """The other way round."""
        return self.ratio is not None and self.ratio.high < 1.0 / (
            1.0 + max(least_effect, self.floor)
        )


def changes(now: Costs, old: Costs, confidence: float) -> Iterator[Change]:
    """Every candidate that was timed in both runs.

    A machine's speed swings from minute to minute. So where PyTorch was timed in the same rounds,
    what is compared is the time as a multiple of PyTorch's, round by round: a machine that is
    slower for both changes nothing.
    """
    for key, cost in now.entries.items():
        before = old.entries.get(key)
        if before is None or not cost.is_candidate:
            continue
        ours, theirs = _over_yardstick(now, cost), _over_yardstick(old, before)
        of = "as multiples of PyTorch's, round by round"
        if ours is None or theirs is None:
            ours, theirs = cost.samples_ns, before.samples_ns
            of = "as times"
        ratio = ratio_interval(ours, theirs, confidence)
        floor = max(run.floors.get((cost.model, cost.size), 0.0) for run in (now, old))
        counts = f"{len(ours)} and {len(theirs)} samples"
        problem = "" if ratio else f"{cost.name}: {counts} are too few for {confidence:.0%}"
        yield Change(cost.name, ratio, floor, of, problem)


def different_environment(now: Costs, old: Costs) -> str:
    """In what two environments differ that decides times, or ""."""
    ours, theirs = _deciding(now.environment), _deciding(old.environment)
    different = [key for key in sorted(ours | theirs) if ours.get(key) != theirs.get(key)]
    return ", ".join(f"{key} {theirs.get(key)} there, {ours.get(key)} here" for key in different)


def is_costs(document: Mapping[str, Any]) -> bool:
    """Whether a document is a bench report and not a parity report."""
    return "rows" not in document and "measurements" in document


def costs_of(document: Mapping[str, Any], name: str) -> Costs:  # noqa: ARG001 - until it is read
    """The costs that a document holds.

    Raises:
        ParityError: it is no bench report.
    """
    raise ParityError(f"{name}: not a bench report", hint="make it with `make bench`")


def _over_yardstick(run: Costs, cost: Cost) -> tuple[float, ...] | None:
    """Times over PyTorch's in the same rounds, or None where it was not timed alike."""
    yardstick = next(
        (
            other
            for other in run.entries.values()
            if not other.is_candidate and (other.model, other.size) == (cost.model, cost.size)
        ),
        None,
    )
    if yardstick is None or len(yardstick.samples_ns) != len(cost.samples_ns):
        return None
    pairs = zip(cost.samples_ns, yardstick.samples_ns, strict=True)
    return tuple(ours / theirs for ours, theirs in pairs)


def _deciding(environment: Mapping[str, Any]) -> dict[str, str]:
    """Settings by name; our own version is not among them: it is what changes."""
    packages = environment.get("packages")
    found = {f"package {k}": str(v) for k, v in packages.items()} if packages else {}
    found.pop("package trufor-onnx", None)
    names = ("processor", "logical_processors", "system", "threads")
    return found | {name: str(environment.get(name)) for name in names}
