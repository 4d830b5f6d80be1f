"""A benchmark as a Markdown page for a CI summary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from parity.latency import figures
from parity.latency.results import BenchReport, Outcome
from parity.report.text import markdown as escaped

MARKS = {
    Outcome.MEASURED: "measured",
    Outcome.ERROR: "⚠️ **an error**",
    Outcome.NOT_RUN: "⏸️ **not run**",
}


def bench_markdown(report: BenchReport) -> str:
    """The page."""
    cold = [row for row in report.latency if row.series]
    sections = (
        ("Latency, warm (ms)", figures.LATENCY_COLUMNS, map(figures.latency_cells, report.latency)),
        ("Cold: each of the two processes", figures.COLD_COLUMNS, map(figures.cold_cells, cold)),
        (
            "Peak resident set of a fresh process (MB)",
            figures.MEMORY_COLUMNS,
            map(figures.memory_cells, report.memory),
        ),
    )
    blocks = [f"# Benchmark: {MARKS[report.outcome]}"]
    for title, columns, rows in sections:
        found = list(rows)
        if found:
            blocks += [f"## {title}", _table(columns, found)]
    blocks += [escaped(line) for line in figures.lines_below(report)]
    return "\n\n".join(blocks) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
