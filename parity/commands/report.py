"""``parity report``: a stored run in other formats."""

from __future__ import annotations

import argparse
from pathlib import Path

from trufor_onnx.console import EXIT_OK, Once
from trufor_onnx.documents import DIGEST
from trufor_onnx.parity.commands.arguments import OUT
from trufor_onnx.parity.report.formats import FORMATS, JSON, parse_formats, write_reports
from trufor_onnx.parity.report.html.gate import read_gate
from trufor_onnx.parity.results.rows import read_report
from trufor_onnx.parity.results.timing_file import read_bench


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
        "--format",
        action=Once,
        default=others,
        metavar="LIST",
        help="formats (default: %(default)s)",
    )
    parser.add_argument(
        "--gate",
        type=Path,
        metavar="GATE.json",
        help="what `parity gate --json` said of this report, for the HTML page",
    )
    parser.add_argument(
        "--bench",
        type=Path,
        metavar="BENCH.json",
        help="what `parity bench` wrote, for the HTML page",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: beside REPORT.json")


def run(args: argparse.Namespace) -> int:
    """Write the reports and print where they are."""
    formats = parse_formats(args.format)
    report = read_report(args.report)
    gate = read_gate(args.gate, report.document()[DIGEST]) if args.gate else None
    bench = read_bench(args.bench) if args.bench else None
    folder = args.out or args.report.parent
    for path in write_reports(report, folder, formats, gate=gate, bench=bench):
        print(path)
    return EXIT_OK
