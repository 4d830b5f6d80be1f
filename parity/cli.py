"""``python -m parity``: measure how far ONNX files are from the networks they were made of."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from chunking.console import (
    EXIT_COULD_NOT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    run_cli,
    stderr_console,
)
from parity.arguments import OUT, add_run_arguments, plan_of
from parity.errors import ParityError
from parity.journal import Journal
from parity.report.formats import FORMATS, JSON, parse_formats, write_reports
from parity.report.json_report import json_text
from parity.report.live import LiveView
from parity.report.problems import problems
from parity.report.reading import from_document, read_report
from parity.report.tables import groups_table, lines_below, most_telling, rows_table
from parity.report.text import printable
from parity.results import Report, Status
from parity.run import Plan, run_parity

EXIT_CODES = {
    Status.PASS: EXIT_OK,
    Status.FAIL: EXIT_FAILED,
    Status.ERROR: EXIT_COULD_NOT,
    Status.NOT_RUN: EXIT_COULD_NOT,
}
MOST_PROBLEMS = 20
LATER = {"gate": "judging a stored report against a policy comes with the release issue"}


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print. Exit code: 0 all passed, 1 a comparison failed, 2 could not compare."""
    return run_cli(_main, argv)


def _main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m parity", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_run_arguments(commands.add_parser("run", help="compare ONNX Runtime with PyTorch"))
    _add_report(commands.add_parser("report", help="write a stored run in other formats"))
    for name, text in LATER.items():
        commands.add_parser(name, help=f"(not built yet: {text})")
    commands.add_parser("dataset", help="make sample_dataset/, or the CocoGlide subset")
    if argv[:1] == ["dataset"]:
        from parity.dataset.cli import main as dataset

        return dataset(argv[1:])
    args, rest = parser.parse_known_args(argv)
    if args.command in LATER:
        raise ParityError(f"`parity {args.command}` is not built yet", hint=LATER[args.command])
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return _report(args) if args.command == "report" else _run(args)


def _add_report(parser: argparse.ArgumentParser) -> None:
    stored = OUT / FORMATS[JSON][0]
    parser.add_argument(
        "report",
        nargs="?",
        type=Path,
        default=stored,
        metavar="REPORT.json",
        help="what `parity run` wrote (default: %(default)s)",
    )
    others = ",".join(name for name in FORMATS if name != JSON)
    parser.add_argument(
        "--format", default=others, metavar="LIST", help="formats (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: beside REPORT.json")


def _report(args: argparse.Namespace) -> int:
    formats = parse_formats(args.format)
    report = read_report(args.report)
    for path in write_reports(report, args.out or args.report.parent, formats):
        print(path)
    return EXIT_OK


def _run(args: argparse.Namespace) -> int:
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
