"""``parity compare``: two reports. 0: nothing is worse, 1: something is, 2: not comparable."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from trufor_onnx.console import EXIT_COULD_NOT, EXIT_FAILED, EXIT_OK
from trufor_onnx.documents import encode
from trufor_onnx.options import add_option
from trufor_onnx.parity.gate.evidence import read_json
from trufor_onnx.parity.history.differences import Trend, differences
from trufor_onnx.parity.history.timeline import difference_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("old", type=Path, metavar="OLD.json", help="parity.json or bench.json")
    parser.add_argument("new", type=Path, metavar="NEW.json", help="another of the same kind")
    add_option(parser, "--json")


def run(args: argparse.Namespace) -> int:
    """Compare, print."""
    names = (str(args.old), str(args.new))
    found = differences(read_json(args.old), read_json(args.new), names)
    if args.json:
        print(json.dumps({"schema_version": 1, "differences": encode(found)}, indent=1))
    else:
        for line in difference_lines(found):
            print(line)
    verdicts = {row.verdict for row in found}
    if verdicts & {Trend.WORSE, Trend.GONE}:
        return EXIT_FAILED
    return EXIT_COULD_NOT if Trend.UNKNOWN in verdicts or not found else EXIT_OK
