"""What a benchmark found, as data. Views and the gate read these; nothing here runs a model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from trufor_onnx.documents import encode
from trufor_onnx.parity.results.contestant import Contestant

SCHEMA_VERSION = 1
KIND = "trufor-onnx bench"
RESAMPLES = 2000
CONFIDENCE = 0.95
LEAST_ROUNDS = 5  # of fewer rounds an interval says nothing


class TimingOutcome(StrEnum):
    """How a measurement ended. ``not run`` never counts as measured."""

    MEASURED = "measured"
    ERROR = "error"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Spread:
    """An estimate with its 95 % bootstrap interval.

    Attributes:
        estimate: the median over the rounds.
        low, high: the interval's ends.
    """

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Series:
    """One worker process of a contestant. Each contestant has two, alike but for the name.

    Attributes:
        name: ``a`` or ``b``.
        session_ns: the time to make the session, its modules being imported already.
        first_call_ns: the first call in the process, and so at this shape.
        rounds: the round in which each sample was taken, in measured order, from 0.
        samples_ns: every warm call, in measured order.
    """

    name: str
    session_ns: int
    first_call_ns: int
    rounds: tuple[int, ...]
    samples_ns: tuple[int, ...]


@dataclass(frozen=True)
class Summary:
    """Warm calls of both of a contestant's processes.

    Attributes:
        samples: how many.
        median_ns, p90_ns, p99_ns, least_ns: percentiles and the least, in nanoseconds.
        iqr_ns: the 75th percentile less the 25th.
        mad_ns: the median distance from the median.
        per_second: calls per second at the median.
    """

    samples: int
    median_ns: float
    p90_ns: float
    p99_ns: float
    least_ns: float
    iqr_ns: float
    mad_ns: float
    per_second: float


@dataclass(frozen=True)
class LatencyFigures:
    """One contestant at one size.

    Attributes:
        contestant: who.
        height, width: of the image, in pixels; the batch is 1.
        outcome: how it ended; only a measured one has what follows the reason.
        reason: why it was not measured.
        series: its two processes.
        summary: of all warm calls.
        noise: the A/A ratio: its process ``a`` over its process ``b``, round by round.
        noise_floor: how far from 1 that interval reaches, as a factor: 1.02 for 2 %.
        is_baseline: whether the others of the same model and size are compared with this one.
        ratio: its time over the baseline's, round by round; below 1 is faster.
        within_noise: whether the ratio is no more than noise: its interval holds 1, or it is
            nearer to 1 than one of the two A/A floors.
    """

    contestant: Contestant
    height: int
    width: int
    outcome: TimingOutcome
    reason: str = ""
    series: tuple[Series, ...] = ()
    summary: Summary | None = None
    noise: Spread | None = None
    noise_floor: float | None = None
    is_baseline: bool = False
    ratio: Spread | None = None
    within_noise: bool | None = None


@dataclass(frozen=True)
class MemoryFigures:
    """The resident set of one contestant, in a fresh process that runs one image twice.

    Attributes:
        contestant: who.
        height, width: of the image, in pixels; the batch is 1.
        outcome: how it ended.
        reason: why it was not measured.
        baseline_bytes: the peak before the session is made: interpreter, modules, the input.
        peak_bytes: the peak at the end.
    """

    contestant: Contestant
    height: int
    width: int
    outcome: TimingOutcome
    reason: str = ""
    baseline_bytes: int | None = None
    peak_bytes: int | None = None

    @property
    def added_bytes(self) -> int | None:
        """What the network itself adds."""
        if self.peak_bytes is None or self.baseline_bytes is None:
            return None
        return self.peak_bytes - self.baseline_bytes


@dataclass(frozen=True)
class TimedFile:
    """An ONNX file that was measured.

    Attributes:
        model, variant: whose.
        name: of the file.
        size_bytes: its size.
        sha256: its digest.
    """

    model: str
    variant: str
    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class BenchReport:
    """A whole benchmark.

    Attributes:
        environment: versions and machine; figures of different ones are not comparable.
        settings: how it was measured: rounds, seed, threads, the picture.
        files: what was measured.
        latency: every contestant at every size.
        memory: the same, where it was asked for.
    """

    environment: Mapping[str, Any]
    settings: Mapping[str, Any]
    files: tuple[TimedFile, ...]
    latency: tuple[LatencyFigures, ...]
    memory: tuple[MemoryFigures, ...]

    @property
    def outcome(self) -> TimingOutcome:
        """An error anywhere is an error; nothing measured is ``not run``."""
        found = [*(row.outcome for row in self.latency), *(row.outcome for row in self.memory)]
        if TimingOutcome.ERROR in found:
            return TimingOutcome.ERROR
        return TimingOutcome.MEASURED if TimingOutcome.MEASURED in found else TimingOutcome.NOT_RUN

    def document(self) -> dict[str, Any]:
        """As ``bench.json`` has it."""
        found: dict[str, Any] = encode(self)
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": KIND,
            "outcome": self.outcome.value,
            **found,
        }


def summarise(samples_ns: Sequence[int]) -> Summary:
    """Percentiles (linear between neighbours) and spread of at least one sample, in ns."""
    times = np.asarray(samples_ns, np.float64)
    q25, median, q75, p90, p99 = np.percentile(times, (25, 50, 75, 90, 99)).tolist()
    return Summary(
        samples=len(samples_ns),
        median_ns=median,
        p90_ns=p90,
        p99_ns=p99,
        least_ns=float(times.min()),
        iqr_ns=q75 - q25,
        mad_ns=float(np.median(np.abs(times - median))),
        per_second=1e9 / median,
    )


def round_medians(series: Iterable[Series]) -> dict[int, float]:
    """The median time of each round over all given processes, in ns."""
    by_round: dict[int, list[int]] = defaultdict(list)
    for one in series:
        for number, sample in zip(one.rounds, one.samples_ns, strict=True):
            by_round[number].append(sample)
    return {number: float(np.median(found)) for number, found in sorted(by_round.items())}


def paired_ratio(
    candidate: Mapping[int, float], baseline: Mapping[int, float], *, seed: int
) -> Spread:
    """The median over rounds of candidate / baseline, with its bootstrap interval.

    Args:
        candidate: a time for each round.
        baseline: the same for the same rounds.
        seed: of the resampling, so that the same samples give the same interval.

    Raises:
        ValueError: the rounds are not the same, or fewer than `LEAST_ROUNDS`.
    """
    if candidate.keys() != baseline.keys() or len(candidate) < LEAST_ROUNDS:
        raise ValueError(
            f"{len(candidate)} and {len(baseline)} rounds; the same {LEAST_ROUNDS} or more needed"
        )
    # Logarithms, so that a/b and b/a are judged alike.
    logs = np.array([math.log(candidate[n] / baseline[n]) for n in sorted(candidate)])
    draws = np.random.default_rng(seed).integers(0, len(logs), (RESAMPLES, len(logs)))
    medians = np.median(logs[draws], axis=1)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(medians, (tail, 100 - tail))
    estimate = float(np.median(logs))
    return Spread(
        estimate=math.exp(estimate),
        low=math.exp(min(float(low), estimate)),
        high=math.exp(max(float(high), estimate)),
    )


def noise_floor(noise: Spread) -> float:
    """How far from 1 an A/A interval reaches, as a factor of 1 or more."""
    return max(noise.high, 1.0 / noise.low, 1.0)


def is_within_noise(ratio: Spread, floors: Iterable[float]) -> bool:
    """Whether a ratio is no more than noise.

    Args:
        ratio: of two contestants.
        floors: the A/A floors of both, as `noise_floor` gives them.
    """
    if ratio.low <= 1.0 <= ratio.high:
        return True
    return max(ratio.estimate, 1.0 / ratio.estimate) <= max(floors)
