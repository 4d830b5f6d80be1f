"""Time and memory, from what ``parity bench`` wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trufor_onnx.parity.report.html.charts import Lane, bars, chart, key, lanes
from trufor_onnx.parity.report.html.elements import (
    ABSENT,
    Cell,
    Child,
    Markup,
    duration,
    el,
    mebibytes,
    percent,
    ratio,
    state,
    table,
)
from trufor_onnx.parity.results.statistics import Spread
from trufor_onnx.parity.results.timing import (
    BenchReport,
    Figures,
    LatencyFigures,
    MemoryFigures,
    TimingOutcome,
)

LATENCY = (
    "contestant",
    "size",
    "status",
    "median",
    "90 % under",
    "99 % under",
    "spread (IQR)",
    "A/A noise",
    "time over baseline",
    "verdict",
    "session",
    "first call",
    "calls",
    "why not measured",
)
MEMORY = (
    "contestant",
    "size",
    "status",
    "peak",
    "before the session",
    "the network adds",
    "why not measured",
)


def latency_section(bench: BenchReport | None) -> Iterator[Markup]:
    """Distributions by size with the noise floor, then the figures. Without a run: not run."""
    if bench is None:
        yield _not_run("No benchmark came with this report.")
        return
    for model, height, width in dict.fromkeys(
        (row.contestant.model, row.height, row.width) for row in bench.latency
    ):
        rows = [
            row
            for row in bench.latency
            if (row.contestant.model, row.height, row.width) == (model, height, width)
        ]
        yield _distribution(f"{model} at {height} × {width}", rows)
    yield table("Warm calls, batch 1, contestants in turns", LATENCY, map(_latency, bench.latency))


def memory_section(bench: BenchReport | None) -> Iterator[Markup]:
    """Peak memory of fresh processes, by size. Without a run: not run."""
    if bench is None or not bench.memory:
        yield _not_run("Memory was not measured.")
        return
    entries = [
        (
            f"{row.contestant.model} {row.height}×{row.width} · {_short(row)}",
            row.baseline_bytes or 0,
            row.peak_bytes,
            mebibytes(row.peak_bytes),
        )
        for row in bench.memory
        if row.peak_bytes is not None
    ]
    yield chart(
        "Peak resident memory of a fresh process; the grey part is there before the session",
        bars("Peak memory; the figures are in the table", entries),
    )
    yield table(
        "Resident memory of a fresh process that runs one image twice",
        MEMORY,
        map(_memory, bench.memory),
    )


def _distribution(title: str, rows: Sequence[LatencyFigures]) -> Markup:
    shown = []
    for row in rows:
        samples = tuple(float(s) for one in row.series for s in one.samples_ns)
        middle = row.summary.median_ns if row.summary else None
        floor = row.noise_floor
        shown.append(
            Lane(
                _short(row),
                dots=samples,
                bars=() if middle is None else (middle,),
                band=(middle / floor, middle * floor) if middle and floor else None,
                text=duration(middle) if middle else row.outcome.value,
            )
        )
    return chart(
        f"{title}: every warm call",
        lanes(f"Latency of {title}; the figures are in the table", shown, duration),
        key(
            ("dot", "a call"),
            ("median", "median"),
            ("band", "A/A noise: two processes of the same differ by this much"),
        ),
    )


def _latency(row: LatencyFigures) -> tuple[Child | Cell, ...]:
    summary = row.summary
    times: list[float | None] = [None] * 4
    if summary:
        times = [summary.median_ns, summary.p90_ns, summary.p99_ns, summary.iqr_ns]
    sessions = [one.session_ns for one in row.series]
    firsts = [one.first_call_ns for one in row.series]
    return (
        _who(row),
        Cell(f"{row.height}×{row.width}", row.height * row.width),
        state(row.outcome.value),
        *(Cell(duration(value), value) for value in times),
        Cell(percent(row.noise_floor), row.noise_floor),
        _ratio(row.ratio, row.is_baseline),
        _verdict(row),
        *(
            Cell(duration(min(found, default=None)), min(found, default=None))
            for found in (sessions, firsts)
        ),
        Cell(str(summary.samples if summary else 0), summary.samples if summary else None),
        row.reason,
    )


def _memory(row: MemoryFigures) -> tuple[Child | Cell, ...]:
    return (
        _who(row),
        Cell(f"{row.height}×{row.width}", row.height * row.width),
        state(row.outcome.value),
        *(
            Cell(mebibytes(size), size)
            for size in (row.peak_bytes, row.baseline_bytes, row.added_bytes)
        ),
        row.reason,
    )


def _ratio(found: Spread | None, is_baseline: bool) -> Cell:
    if is_baseline:
        return Cell("baseline", 1.0)
    if found is None:
        return Cell(ABSENT, None)
    return Cell(f"{ratio(found.estimate)} ({ratio(found.low)}–{ratio(found.high)})", found.estimate)


def _verdict(row: LatencyFigures) -> str:
    if row.outcome is not TimingOutcome.MEASURED or row.ratio is None:
        return ABSENT
    if row.within_noise:
        return "within noise"
    return "faster" if row.ratio.estimate < 1 else "slower"


def _who(row: Figures) -> str:
    return f"{row.contestant.model} {row.contestant.name}"


def _short(row: Figures) -> str:
    """What there is room for in a chart: what goes without saying is left out."""
    who = row.contestant
    usual = {"portable", "source", "cpu"}
    return " ".join(part for part in (who.backend, who.variant, who.provider) if part not in usual)


def _not_run(what: str) -> Markup:
    return el("p", state("not run"), f" {what} To measure: ", el("code", "python -m parity bench"))
