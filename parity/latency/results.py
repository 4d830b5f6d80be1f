"""What a benchmark found, as data. Views and the gate read these; nothing here runs a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from parity.documents import encode

SCHEMA_VERSION = 1
KIND = "trufor-onnx bench"


class Outcome(StrEnum):
    """How a measurement ended. ``not run`` never counts as measured."""

    MEASURED = "measured"
    ERROR = "error"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Interval:
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
class Contestant:
    """Who is measured.

    Attributes:
        model: the network.
        variant: of the exported file, ``candidate`` for a file that the user named, ``source``
            for PyTorch.
        backend: ``onnxruntime`` or ``torch32``.
        provider: where it runs.
    """

    model: str
    variant: str
    backend: str
    provider: str

    @property
    def name(self) -> str:
        """What tables call it beside its model."""
        return f"{self.variant} {self.backend} {self.provider}"


@dataclass(frozen=True)
class Latency:
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
    outcome: Outcome
    reason: str = ""
    series: tuple[Series, ...] = ()
    summary: Summary | None = None
    noise: Interval | None = None
    noise_floor: float | None = None
    is_baseline: bool = False
    ratio: Interval | None = None
    within_noise: bool | None = None


@dataclass(frozen=True)
class Memory:
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
    outcome: Outcome
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
class ModelFile:
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
    files: tuple[ModelFile, ...]
    latency: tuple[Latency, ...]
    memory: tuple[Memory, ...]

    @property
    def outcome(self) -> Outcome:
        """An error anywhere is an error; nothing measured is ``not run``."""
        found = [*(row.outcome for row in self.latency), *(row.outcome for row in self.memory)]
        if Outcome.ERROR in found:
            return Outcome.ERROR
        return Outcome.MEASURED if Outcome.MEASURED in found else Outcome.NOT_RUN

    def document(self) -> dict[str, Any]:
        """As ``bench.json`` has it."""
        found: dict[str, Any] = encode(self)
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": KIND,
            "outcome": self.outcome.value,
            **found,
        }
