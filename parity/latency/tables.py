"""A benchmark as tables for a terminal. Nothing here prints."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from parity.latency import figures
from parity.latency.results import BenchReport, Outcome
from parity.report.text import printable

TEXTS = 3  # the first columns are words
STYLES = {Outcome.MEASURED: "", Outcome.ERROR: "bold red", Outcome.NOT_RUN: "yellow"}


def bench_tables(report: BenchReport) -> list[Table]:
    """Warm latency, cold figures, memory."""
    measured = [row for row in report.latency if row.series]
    return [
        table
        for table in (
            _table(
                "Latency, warm (ms)",
                figures.LATENCY_COLUMNS,
                ((figures.latency_cells(row), STYLES[row.outcome]) for row in report.latency),
            ),
            _table(
                "Cold: each of the two processes",
                figures.COLD_COLUMNS,
                ((figures.cold_cells(row), "") for row in measured),
            ),
            _table(
                "Peak resident set of a fresh process (MB)",
                figures.MEMORY_COLUMNS,
                ((figures.memory_cells(row), STYLES[row.outcome]) for row in report.memory),
            ),
        )
        if table.row_count
    ]


def _table(
    title: str, columns: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], str]]
) -> Table:
    table = Table(title=title, title_justify="left")
    for index, name in enumerate(columns):
        words = index < TEXTS or name == columns[-1]
        table.add_column(name, justify="left" if words else "right", overflow="fold")
    for cells, style in rows:
        table.add_row(*(Text(printable(cell)) for cell in cells), style=style)
    return table
