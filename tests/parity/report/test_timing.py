"""The same figures on a terminal and in Markdown; nothing that failed looks measured."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from trufor_onnx.parity.report.timing import bench_markdown, bench_tables, lines_below, ratio_text
from trufor_onnx.parity.results.statistics import Spread
from trufor_onnx.parity.results.timing import (
    BenchReport,
    LatencyFigures,
    MemoryFigures,
    TimingOutcome,
)
from trufor_onnx.parity.timing.contest import compared
from trufor_onnx.parity.timing.plan import Rules


@pytest.fixture
def mixed(latency: Any, report: Any, contestant: Any) -> BenchReport:
    rows = compared([latency(), latency("same"), latency("slow", scale=3)], "portable", Rules())
    bad = LatencyFigures(
        contestant("a|b[red]\x1b"), 64, 96, TimingOutcome.ERROR, "output y is not finite"
    )
    gone = LatencyFigures(contestant(provider="cuda"), 64, 96, TimingOutcome.NOT_RUN, "no CUDA")
    peak = MemoryFigures(contestant(), 64, 96, TimingOutcome.MEASURED, "", 50_000_000, 170_000_000)
    lost = MemoryFigures(contestant("slow"), 64, 96, TimingOutcome.ERROR, "killed")
    found: BenchReport = report(*rows, bad, gone, memory=(peak, lost))
    return found


def shown(report: BenchReport) -> str:
    console = Console(width=250, force_terminal=False)
    with console.capture() as capture:
        for table in bench_tables(report):
            console.print(table)
    return capture.get()


@pytest.mark.parametrize("view", [shown, bench_markdown])
def test_every_row_is_there_with_its_figures_or_its_reason(mixed: BenchReport, view: Any) -> None:
    text = view(mixed)
    slow = mixed.latency[2]
    assert slow.ratio is not None and slow.summary is not None
    for wanted in (
        "baseline",
        "within the noise",
        ratio_text(slow.ratio),
        f"{slow.summary.median_ns / 1e6:.4g}",
        "±3.0 %",
        "5, 5",  # sessions, ms
        "3, 3",  # first calls
        "170",
        "120",
        "error: output y is not finite",
        "not run: no CUDA",
        "error: killed",
    ):
        assert wanted in text, wanted
    assert text.count("within the noise") == 1
    assert "\x1b" not in text


def test_markdown_says_the_outcome_and_keeps_its_tables(mixed: BenchReport, report: Any) -> None:
    page = bench_markdown(mixed)
    assert page.startswith("# Benchmark: ⚠️ **an error**")
    for line in page.splitlines():
        if line.startswith("|"):
            assert line.count("|") in (11, 6, 7)
    assert "not run" in bench_markdown(report()).splitlines()[0]


def test_tables_without_rows_are_left_out(latency: Any, report: Any) -> None:
    titles = [str(table.title) for table in bench_tables(report(latency()))]
    assert len(titles) == 2 and not any("Peak" in title for title in titles)
    assert bench_tables(report()) == []


def test_how_it_was_measured_is_said(mixed: BenchReport) -> None:
    first, second = lines_below(mixed)
    for wanted in ("a processor", "onnxruntime 1.32.0", "seed: 7", "spinning: off", "rounds: 10"):
        assert wanted in first
    assert "below 1 is faster" in second
    assert ratio_text(Spread(0.83, 0.81, 0.86)) == "0.830x (0.810 to 0.860)"
