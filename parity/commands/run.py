"""``parity run``: compare ONNX Runtime with PyTorch, print the tables, write the reports."""

from __future__ import annotations

import argparse
import json

from rich.console import Console

from chunking.console import EXIT_INTERRUPTED, stderr_console
from parity.arguments import add_run_arguments, plan_of
from parity.exit_codes import EXIT_CODES
from parity.huge_pages import use_huge_pages
from parity.journal import Journal
from parity.report.formats import JSON, parse_formats, write_reports
from parity.report.json_report import json_text
from parity.report.live import LiveView
from parity.report.problems import problems
from parity.report.reading import from_document
from parity.report.tables import groups_table, lines_below, most_telling, rows_table
from parity.report.text import printable
from parity.results import Report
from parity.run import Plan, run_parity

MOST_PROBLEMS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; the exit code is the report's status."""
    use_huge_pages()
    plan = plan_of(args)
    formats = dict.fromkeys([JSON, *parse_formats(args.formats)])
    with Journal(args.out, resume=not args.no_resume) as journal:
        try:
            report = _measure(plan, journal)
        except KeyboardInterrupt:
            stderr_console().print(journal.interrupted(), markup=False)
            return EXIT_INTERRUPTED
        # What is printed and written is made of the JSON, as `parity report` makes it.
        report = from_document(json.loads(json_text(report)), "this run's report")
        paths = write_reports(report, args.out, list(formats))
        journal.discard()
    _print(report, Console(highlight=False))
    errors = stderr_console()
    for line in problems(report, MOST_PROBLEMS):
        errors.print(printable(line), markup=False)
    errors.print(f"{report.status}: {', '.join(map(str, paths))}", markup=False)
    return EXIT_CODES[report.status]


def _measure(plan: Plan, journal: Journal) -> Report:
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
