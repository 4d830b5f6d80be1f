"""Time and memory of a ``bench.json``, as the gate and the history read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parity.latency.reading import from_document
from parity.latency.results import KIND, BenchReport, Latency, Outcome
from parity.latency.statistics import round_medians
from parity.results import SOURCE

Key = tuple[str, str, str, str, str]
SETTINGS = ("threads", "spinning")


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
    return costs_in(from_document(document, name))


def costs_in(report: BenchReport) -> Costs:
    """The costs of a report."""
    digests = {(file.model, file.variant): file.sha256 for file in report.files}
    peaks = {
        (row.contestant, row.height, row.width): row.peak_bytes
        for row in report.memory
        if row.outcome is Outcome.MEASURED
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


def _problem(row: Latency) -> str:
    if row.outcome is not Outcome.MEASURED:
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
