"""``parity release-verify``: is a folder what was released? 0: yes, 1: no, 2: could not say."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trufor_onnx.console import EXIT_FAILED, EXIT_OK, printable
from trufor_onnx.options import add_option
from trufor_onnx.parity.release.verify import verify_release
from trufor_onnx.parity.results.release_layout import version_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="dist/models-VERSION")
    parser.add_argument(
        "--version", metavar="VERSION", help="what it must be (default: as the folder is called)"
    )
    add_option(parser, "--key")


def run(args: argparse.Namespace) -> int:
    """Verify, print everything that is wrong."""
    version = args.version or version_of(args.folder)
    found = verify_release(args.folder, version, args.key)
    for problem in found.problems:
        print(printable(f"refused: {problem}"), file=sys.stderr)
    if found.problems:
        print(f"{found.folder}: {len(found.problems)} problems", file=sys.stderr)
        return EXIT_FAILED
    signature = "none (not signed)" if found.signature == "none" else found.signature
    print(f"{found.folder}: {found.files} files as released; signature: {signature}")
    return EXIT_OK
