"""``parity history``: reports over releases; what changed last, and since when."""

from __future__ import annotations

import argparse
from pathlib import Path

from trufor_onnx.console import EXIT_OK
from trufor_onnx.parity.history.timeline import timeline, timeline_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path("dist"),
        metavar="DIR",
        help="reports, a folder a release (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Read, print."""
    for history in timeline(args.folder):
        for line in timeline_lines(history):
            print(line)
    return EXIT_OK
