"""``parity files``: check model files before a commit. 0: right, 1: wrong, 2: could not."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from chunking.console import EXIT_FAILED, EXIT_OK
from parity.gate.staged import HOST_LIMIT, check_files
from parity.report.text import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="ONNX files, locks, pieces, manifests"
    )
    parser.add_argument(
        "--most-bytes",
        type=int,
        default=HOST_LIMIT,
        metavar="N",
        help="what no file may exceed (default: %(default)s, a git host's limit)",
    )


def run(args: argparse.Namespace) -> int:
    """Check, print everything that is wrong."""
    problems = check_files(args.files, args.most_bytes)
    for problem in problems:
        print(printable(problem), file=sys.stderr)
    return EXIT_FAILED if problems else EXIT_OK
