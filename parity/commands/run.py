"""``parity run``: compare ONNX Runtime with PyTorch, print the tables, write the reports."""

from __future__ import annotations

import argparse
from collections import deque
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trufor_onnx.console import EXIT_INTERRUPTED, printable, stderr_console
from trufor_onnx.parity.commands.arguments import add_run_arguments, plan_of
from trufor_onnx.parity.report.formats import JSON, parse_formats, write_reports
from trufor_onnx.parity.report.sentences import problems
from trufor_onnx.parity.report.text import groups_table, lines_below, most_telling, rows_table
from trufor_onnx.parity.results.environment import use_huge_pages
from trufor_onnx.parity.results.rows import EXIT_CODES, Report, Row, as_written
from trufor_onnx.parity.running.journal import Journal
from trufor_onnx.parity.running.run import RunListener, RunPlan, run_parity

SHOWN = 12  # rows of the live table
MOST_PROBLEMS = 20


class LiveView(RunListener):
    """A live table with progress; silent where the console is no terminal."""

    def __init__(self, console: Console) -> None:
        self._rows: deque[Row] = deque(maxlen=SHOWN)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("starting", total=None)
        self._live = Live(
            console=console, get_renderable=self._render, transient=True, refresh_per_second=4
        )
        self._quiet = not console.is_terminal

    def model(self, name: str, cases: int) -> None:
        """Start a network's bar."""
        self._progress.reset(self._task, total=cases, description=name)

    def say(self, text: str) -> None:
        """Show what is being done."""
        self._progress.update(self._task, description=text)

    def rows(self, rows: list[Row]) -> None:
        """Show the rows of a case that is done."""
        self._rows.extend(rows)
        if rows:
            self._progress.update(self._task, advance=1, description=rows[0].model)

    def __enter__(self) -> Self:
        if not self._quiet:
            self._live.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if not self._quiet:
            self._live.stop()

    def _render(self) -> RenderableType:
        return Group(rows_table(self._rows, ""), self._progress)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; the exit code is the report's status."""
    use_huge_pages()
    plan = plan_of(args)
    formats = dict.fromkeys([JSON, *parse_formats(args.format)])
    with Journal(args.out, resume=not args.no_resume) as journal:
        try:
            report = _measure(plan, journal)
        except KeyboardInterrupt:
            stderr_console().print(journal.interrupted(), markup=False)
            return EXIT_INTERRUPTED
        report = as_written(report)
        paths = write_reports(report, args.out, list(formats))
        journal.discard()
    _print(report, Console(highlight=False))
    errors = stderr_console()
    for line in problems(report, MOST_PROBLEMS):
        errors.print(printable(line), markup=False)
    errors.print(f"{report.status}: {', '.join(map(str, paths))}", markup=False)
    return EXIT_CODES[report.status]


def _measure(plan: RunPlan, journal: Journal) -> Report:
    with LiveView(stderr_console()) as view:
        return run_parity(plan, view, journal)


def _print(report: Report, console: Console) -> None:
    """Rows, then the summary. A table as wide as its content, also into a pipe."""
    if not console.is_terminal:
        console.width = 160
    for rows, title in ((report.rows, "Images"), (report.shape_rows, "Shapes")):
        if rows:
            console.print(rows_table(*most_telling(rows, title)))
    console.print(groups_table(report.groups))
    for line in lines_below(report):
        console.print(line, markup=False)
