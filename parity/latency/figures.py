"""Figures as people read them, the same on a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from parity.latency.results import BenchReport, Interval, Latency, Memory, Outcome, Series

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


def latency_cells(row: Latency) -> tuple[str, ...]:
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


def cold_cells(row: Latency) -> tuple[str, ...]:
    """Session creation and the first call, of each of the two processes."""
    return (
        *_who(row),
        _each(row.series, "session_ns"),
        _each(row.series, "first_call_ns"),
    )


def memory_cells(row: Memory) -> tuple[str, ...]:
    """A row of memory, in 10^6 bytes."""
    if row.outcome is not Outcome.MEASURED:
        return (*_who(row), _why(row), NOTHING, NOTHING)
    return (
        *_who(row),
        *(_mb(value) for value in (row.peak_bytes, row.baseline_bytes, row.added_bytes)),
    )


def ratio_text(ratio: Interval) -> str:
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


def _compared(row: Latency) -> str:
    if row.is_baseline:
        return "baseline"
    if row.ratio is None:
        return NOTHING
    return ratio_text(row.ratio) + (", within the noise" if row.within_noise else "")


def _who(row: Latency | Memory) -> tuple[str, str, str]:
    return row.contestant.model, f"{row.height} x {row.width}", row.contestant.name


def _why(row: Latency | Memory) -> str:
    return f"{row.outcome}: {row.reason}"


def _each(series: Sequence[Series], name: str) -> str:
    return ", ".join(_ms(getattr(one, name)) for one in series) or NOTHING


def _ms(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:.4g}"


def _mb(count: int | None) -> str:
    return NOTHING if count is None else f"{count / 1e6:.0f}"
