"""``bench.json``: written canonically, and read with checks. No framework is needed for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trufor_onnx.documents import decode, read_json
from trufor_onnx.errors import ParityError
from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.timing import (
    KIND,
    SCHEMA_VERSION,
    BenchReport,
    LatencyFigures,
    MemoryFigures,
    TimedFile,
    TimingOutcome,
    is_within_noise,
    noise_floor,
    summarise,
)

NAME = "bench.json"
LARGEST = 1 << 30  # bytes
HINT = "make it anew with `parity bench`"


def json_text(report: BenchReport) -> str:
    """The document: sorted keys, ASCII, no NaN."""
    return json.dumps(report.document(), indent=1, sort_keys=True, allow_nan=False) + "\n"


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


def _where(row: LatencyFigures | MemoryFigures) -> str:
    who: Contestant = row.contestant
    return f"{who.model} {who.name} {row.height} x {row.width}"


def file_of(report: BenchReport, contestant: Contestant) -> TimedFile | None:
    """The file that a contestant ran, or None for PyTorch."""
    wanted = (contestant.model, contestant.variant)
    return next((file for file in report.files if (file.model, file.variant) == wanted), None)
