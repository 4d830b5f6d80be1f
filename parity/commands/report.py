"""``parity report``: a stored run in other formats."""

from __future__ import annotations

import argparse
from pathlib import Path

from chunking.console import EXIT_OK
from parity.arguments import OUT
from parity.report.formats import FORMATS, JSON, parse_formats, write_reports
from parity.report.reading import read_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
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


def run(args: argparse.Namespace) -> int:
    """Write the reports and print where they are."""
    formats = parse_formats(args.format)
    report = read_report(args.report)
    for path in write_reports(report, args.out or args.report.parent, formats):
        print(path)
    return EXIT_OK
