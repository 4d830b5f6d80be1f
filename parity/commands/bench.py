"""``parity bench``: latency and peak memory, printed as tables, written as JSON and Markdown."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from chunking.atomic import atomic_write
from chunking.console import EXIT_COULD_NOT, EXIT_OK, stderr_console
from parity.errors import ParityError
from parity.latency.arguments import add_bench_arguments, plan_of
from parity.latency.figures import lines_below
from parity.latency.markdown import bench_markdown
from parity.latency.measuring import run_bench
from parity.latency.reading import NAME, json_text
from parity.latency.results import BenchReport, Outcome
from parity.latency.tables import bench_tables
from parity.report.text import printable

PAGE = "bench.md"
WIDTH_OF_FILES = 160  # columns where standard output is no terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_bench_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, write, print. Exit code 0: all measured; 2: something was not."""
    plan = plan_of(args)
    errors = stderr_console()
    with errors.status("starting") as status:
        report = run_bench(plan, lambda text: status.update(escape(text)))
    paths = _write(report, args.out)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_OF_FILES
    for table in bench_tables(report):
        console.print(table)
    for line in lines_below(report):
        console.print(printable(line), markup=False, soft_wrap=True)
    errors.print(f"{report.outcome}: {', '.join(map(str, paths))}", markup=False)
    return EXIT_OK if report.outcome is Outcome.MEASURED else EXIT_COULD_NOT


def _write(report: BenchReport, folder: Path) -> list[Path]:
    paths = [folder / NAME, folder / PAGE]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, (json_text(report), bench_markdown(report)), strict=True):
            atomic_write(path, text.encode())
    except OSError as error:
        raise ParityError(
            f"{folder} cannot be written ({error.strerror})", hint="name another with --out"
        ) from error
    return paths
