"""What a benchmark found, as data and as ``bench.json``: written canonically, read with checks.

Views and the gate read these. Nothing here runs a model, and no framework is needed for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from trufor_onnx.documents import decode, encode, read_json, text_of
from trufor_onnx.errors import ParityError
from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.statistics import Spread, is_within_noise, noise_floor

SCHEMA_VERSION = 1
KIND = "trufor-onnx bench"
NAME = "bench.json"
LARGEST = 1 << 30  # bytes
HINT = "make it anew with `parity bench`"


class TimingOutcome(StrEnum):
    """How a measurement ended. ``not run`` never counts as measured."""

    MEASURED = "measured"
    ERROR = "error"
    NOT_RUN = "not run"


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
class Figures:
    """One contestant at one size.

    Attributes:
        contestant: who.
        height, width: of the image, in pixels; the batch is 1.
        outcome: how it ended; only a measured one has what follows the reason.
        reason: why it was not measured.
    """

    contestant: Contestant
    height: int
    width: int
    outcome: TimingOutcome
    reason: str = ""


@dataclass(frozen=True)
class LatencyFigures(Figures):
    """How long it takes.

    Attributes:
        series: its two processes.
        summary: of all warm calls.
        noise: the A/A ratio: its process ``a`` over its process ``b``, round by round.
        noise_floor: how far from 1 that interval reaches, as a factor: 1.02 for 2 %.
        is_baseline: whether the others of the same model and size are compared with this one.
        ratio: its time over the baseline's, round by round; below 1 is faster.
        within_noise: whether the ratio is no more than noise: its interval holds 1, or it is
            nearer to 1 than one of the two A/A floors.
    """

    series: tuple[Series, ...] = ()
    summary: Summary | None = None
    noise: Spread | None = None
    noise_floor: float | None = None
    is_baseline: bool = False
    ratio: Spread | None = None
    within_noise: bool | None = None


@dataclass(frozen=True)
class MemoryFigures(Figures):
    """The resident set, in a fresh process that runs one image twice.

    Attributes:
        baseline_bytes: the peak before the session is made: interpreter, modules, the input.
        peak_bytes: the peak at the end.
    """

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
        head = {"schema_version": SCHEMA_VERSION, "kind": KIND, "outcome": self.outcome.value}
        return {**head, **encode(self)}


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


def json_text(report: BenchReport) -> str:
    """The document: sorted keys, ASCII, no NaN."""
    return text_of(report.document())


def read_bench(path: Path) -> BenchReport:
    """The benchmark in a ``bench.json``.

    Raises:
        ParityError: it is missing, no such file, of another version, or contradicts itself.
    """
    document = read_json(path, what="benchmark", largest=LARGEST, hint=HINT)
    return from_document(document, str(path))


def from_document(document: Any, name: str) -> BenchReport:
    """The benchmark that a document holds.

    Its summaries must follow from its samples, its outcome from its rows; every number is finite.

    Args:
        document: what `BenchReport.document` gave.
        name: what errors call it.

    Raises:
        ParityError: it is none, of another version, or contradicts itself.
    """
    given = document if isinstance(document, Mapping) else {}
    if given.get("kind") != KIND:
        raise ParityError(f"{name}: not a benchmark", hint=HINT)
    if given.get("schema_version") != SCHEMA_VERSION:
        raise ParityError(
            f"{name}: schema version {given.get('schema_version')}, this tool reads "
            f"{SCHEMA_VERSION}",
            hint=HINT,
        )
    rest = {k: v for k, v in given.items() if k not in ("kind", "schema_version", "outcome")}
    try:
        report = decode(BenchReport, rest)
    except (ValueError, KeyError, TypeError) as error:
        raise ParityError(f"{name}: not a benchmark ({error})", hint=HINT) from error
    wrong = _contradiction(report)
    if not wrong and report.document() != document:
        wrong = "its outcome is not the one that its rows give"
    if wrong:
        raise ParityError(f"{name}: {wrong}", hint=f"it was edited or damaged; {HINT}")
    return report


def _contradiction(report: BenchReport) -> str:
    """The first thing that cannot be so, or ""."""
    floors = {}
    for row in report.latency:
        wrong = _wrong_latency(row)
        if wrong:
            return f"{_where(row)}: {wrong}"
        where = (row.contestant.model, row.height, row.width)
        if row.is_baseline:
            floors[where] = row.noise_floor
    for row in report.latency:
        if row.ratio is not None:
            base = floors.get((row.contestant.model, row.height, row.width))
            both = [floor for floor in (row.noise_floor, base) if floor]
            if not base or row.within_noise != is_within_noise(row.ratio, both):
                return f"{_where(row)}: what it says of the noise is not what its ratio says"
    for peak in report.memory:
        wrong = _wrong_memory(peak)
        if wrong:
            return f"{_where(peak)}: {wrong}"
    rows = [(row.contestant, row.height, row.width) for row in report.latency]
    if len(set(rows)) != len(rows):
        return "a contestant is there twice at one size"
    return ""


def _wrong_latency(row: LatencyFigures) -> str:
    samples = [sample for one in row.series for sample in one.samples_ns]
    if row.outcome is not TimingOutcome.MEASURED:
        return "not measured, and has figures" if samples or row.summary or row.ratio else ""
    if row.summary is None or row.noise is None or row.noise_floor is None or not samples:
        return "measured, and has no figures"
    if any(len(one.rounds) != len(one.samples_ns) for one in row.series):
        return "a sample has no round"
    if min(samples) <= 0 or row.summary != summarise(samples):
        return "its summary is not that of its samples"
    for interval in (row.noise, row.ratio):
        if interval and not 0 < interval.low <= interval.estimate <= interval.high:
            return "not an interval"
    if row.noise_floor != noise_floor(row.noise):
        return "its floor is not that of its noise"
    return ""


def _wrong_memory(row: MemoryFigures) -> str:
    figures = (row.baseline_bytes, row.peak_bytes)
    if (row.outcome is TimingOutcome.MEASURED) != (None not in figures):
        return "memory without figures, or the reverse"
    return "a peak below its baseline" if (row.added_bytes or 0) < 0 else ""


def _where(row: Figures) -> str:
    return f"{row.contestant.model} {row.contestant.name} {row.height} x {row.width}"
