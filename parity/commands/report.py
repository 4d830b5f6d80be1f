"""``parity report``: a stored run in other formats."""

from __future__ import annotations

import argparse
from pathlib import Path

from trufor_onnx.console import EXIT_OK
from trufor_onnx.documents import DIGEST
from trufor_onnx.options import add_option
from trufor_onnx.parity.gate.judge import read_decision
from trufor_onnx.parity.report.formats import FORMATS, JSON, parse_formats, write_reports
from trufor_onnx.parity.results.rows import read_report
from trufor_onnx.parity.results.timing import read_bench


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_option(parser, "report", nargs="?")
    others = ",".join(name for name in FORMATS if name != JSON)
    add_option(parser, "--format", default=others)
    parser.add_argument(
        "--gate",
        type=Path,
        metavar="GATE.json",
        help="what `parity gate --json` said of this report, for the HTML page",
    )
    add_option(parser, "--bench", ", for the HTML page")
    add_option(parser, "--out", " (default: beside REPORT.json)")


def run(args: argparse.Namespace) -> int:
    """Write the reports and print where they are."""
    formats = parse_formats(args.format)
    report = read_report(args.report)
    gate = read_decision(args.gate, report.document()[DIGEST]) if args.gate else None
    bench = read_bench(args.bench) if args.bench else None
    folder = args.out or args.report.parent
    for path in write_reports(report, folder, formats, gate=gate, bench=bench):
        print(path)
    return EXIT_OK
