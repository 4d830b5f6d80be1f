"""A benchmark as people read it, the same on a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from trufor_onnx.console import markdown as escaped
from trufor_onnx.console import markdown_table, printable
from trufor_onnx.parity.results.statistics import Spread
from trufor_onnx.parity.results.timing import (
    BenchReport,
    Figures,
    LatencyFigures,
    MemoryFigures,
    Series,
    TimingOutcome,
)

Cells = tuple[str, ...]
Section = tuple[str, Cells, list[tuple[Cells, str]]]  # title, columns, cells with their row's style
LATENCY_COLUMNS = (
    "model",
    "size",
    "contestant",
    "median ms",
    "p90",
    "p99",
    "spread (IQR)",
    "a second",
    "A/A floor",
    "time to baseline",
)
COLD_COLUMNS = ("model", "size", "contestant", "session ms", "first call ms")
MEMORY_COLUMNS = ("model", "size", "contestant", "peak MB", "before the session", "added")
NOTHING = "-"
TEXTS = 3  # the first columns are words
STYLES = {
    TimingOutcome.MEASURED: "",
    TimingOutcome.ERROR: "bold red",
    TimingOutcome.NOT_RUN: "yellow",
}
MARKS = {
    TimingOutcome.MEASURED: "measured",
    TimingOutcome.ERROR: "⚠️ **an error**",
    TimingOutcome.NOT_RUN: "⏸️ **not run**",
}


def latency_cells(row: LatencyFigures) -> tuple[str, ...]:
    """A row of warm figures."""
    if row.summary is None:
        return (*_who(row), *([NOTHING] * 6), _why(row))
    found = row.summary
    return (
        *_who(row),
        *(_ms(value) for value in (found.median_ns, found.p90_ns, found.p99_ns, found.iqr_ns)),
        f"{found.per_second:.3g}",
        NOTHING if row.noise_floor is None else f"±{100 * (row.noise_floor - 1):.1f} %",
        _compared(row),
    )


def cold_cells(row: LatencyFigures) -> tuple[str, ...]:
    """Session creation and the first call, of each of the two processes."""
    return (
        *_who(row),
        _each(row.series, "session_ns"),
        _each(row.series, "first_call_ns"),
    )


def memory_cells(row: MemoryFigures) -> tuple[str, ...]:
    """A row of memory, in 10^6 bytes."""
    if row.outcome is not TimingOutcome.MEASURED:
        return (*_who(row), _why(row), NOTHING, NOTHING)
    return (
        *_who(row),
        *(_mb(value) for value in (row.peak_bytes, row.baseline_bytes, row.added_bytes)),
    )


def ratio_text(ratio: Spread) -> str:
    """``0.83x (0.81 to 0.86)``."""
    return f"{ratio.estimate:.3f}x ({ratio.low:.3f} to {ratio.high:.3f})"


def lines_below(report: BenchReport) -> list[str]:
    """How it was measured, in a few sentences."""
    given = report.settings
    rounds = sorted({1 + max(one.rounds) for row in report.latency for one in row.series})
    packages = report.environment.get("packages", {})
    versions = [
        f"{name} {packages[name]}"
        for name in sorted(packages)
        if name.startswith(("onnxruntime", "ort-", "torch")) and packages[name] != "absent"
    ]
    how = {
        "threads": given.get("threads") or "as the backend chooses",
        "spinning": "on" if given.get("spinning") else "off",
        "seed": given.get("seed"),
        "rounds": ", ".join(map(str, rounds)) or "none",
        "warm-up calls after the first": given.get("warmups"),
    }
    shown = [str(report.environment.get("processor", "unknown processor")), *versions]
    return [
        "; ".join([*shown, *(f"{name}: {value}" for name, value in how.items())]),
        "time to baseline: below 1 is faster; median over rounds with its 95 % interval",
    ]


def _compared(row: LatencyFigures) -> str:
    if row.is_baseline:
        return "baseline"
    if row.ratio is None:
        return NOTHING
    return ratio_text(row.ratio) + (", within the noise" if row.within_noise else "")


def _who(row: Figures) -> tuple[str, str, str]:
    return row.contestant.model, f"{row.height} x {row.width}", row.contestant.name


def _why(row: Figures) -> str:
    return f"{row.outcome}: {row.reason}"


def _each(series: Sequence[Series], name: str) -> str:
    return ", ".join(_ms(getattr(one, name)) for one in series) or NOTHING


def _ms(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:.4g}"


def _mb(count: int | None) -> str:
    return NOTHING if count is None else f"{count / 1e6:.0f}"


def _sections(report: BenchReport) -> Iterator[Section]:
    """Warm latency, cold figures, memory, as far as there are any."""
    warm = [(latency_cells(row), STYLES[row.outcome]) for row in report.latency]
    cold = [(cold_cells(row), "") for row in report.latency if row.series]
    memory = [(memory_cells(row), STYLES[row.outcome]) for row in report.memory]
    sections = (
        ("Latency, warm (ms)", LATENCY_COLUMNS, warm),
        ("Cold: each of the two processes", COLD_COLUMNS, cold),
        ("Peak resident set of a fresh process (MB)", MEMORY_COLUMNS, memory),
    )
    yield from (section for section in sections if section[2])


def bench_tables(report: BenchReport) -> list[Table]:
    """The sections as tables for a terminal."""
    return [_table(*section) for section in _sections(report)]


def _table(title: str, columns: Cells, rows: list[tuple[Cells, str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for index, name in enumerate(columns):
        words = index < TEXTS or name == columns[-1]
        table.add_column(name, justify="left" if words else "right", overflow="fold")
    for cells, style in rows:
        table.add_row(*(Text(printable(cell)) for cell in cells), style=style)
    return table


def bench_markdown(report: BenchReport) -> str:
    """The page."""
    blocks = [f"# Benchmark: {MARKS[report.outcome]}"]
    for title, columns, rows in _sections(report):
        table = markdown_table(columns, [[*map(escaped, cells)] for cells, _ in rows])
        blocks += [f"## {title}", table]
    blocks += [escaped(line) for line in lines_below(report)]
    return "\n\n".join(blocks) + "\n"
