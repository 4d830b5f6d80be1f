"""``parity files``: check model files before a commit. 0: right, 1: wrong, 2: could not."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path, PurePosixPath

from trufor_onnx.console import EXIT_FAILED, EXIT_OK, printable
from trufor_onnx.errors import ParityError
from trufor_onnx.options import add_option
from trufor_onnx.parity.gate.index import Index, open_index
from trufor_onnx.parity.gate.staged import HOST_LIMIT, check_files, check_index


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="ONNX files, locks, pieces, manifests: as staged if git has them, else as on the disk",
    )
    parser.add_argument(
        "--staged", action="store_true", help="what the next commit changes or removes"
    )
    limit = f" (default: {HOST_LIMIT // 10**6}MB, a git host's limit)"
    add_option(parser, "--max-size", limit, old=("--most-bytes",), default=HOST_LIMIT)
    parser.set_defaults(refuse=parser.error)


def run(args: argparse.Namespace) -> int:
    """Check, print everything that is wrong."""
    if not args.files and not args.staged:
        args.refuse("name files, or say --staged")
    index = open_index()
    if index is None and args.staged:
        raise ParityError("not in a git work tree", hint="name files instead: parity files FILE")
    named, others = _sorted_out(index, args.files)
    problems = check_files(others, args.max_size)
    if index is not None:
        found = check_index(index, named, args.max_size)
        problems += found.problems
        for note in found.notes:
            print(printable(f"note: {note}"), file=sys.stderr)
    for problem in problems:
        print(printable(problem), file=sys.stderr)
    return EXIT_FAILED if problems else EXIT_OK


def _sorted_out(index: Index | None, files: list[Path]) -> tuple[list[PurePosixPath], list[Path]]:
    """Files that git has, or has had until now, by their path in it; and the others."""
    named, others = [], []
    for file in files:
        path = _in_work_tree(index, file) if index else None
        if index and path and (path in index.files or path in index.changed):
            named.append(path)
        else:
            others.append(file)
    return named, others


def _in_work_tree(index: Index, file: Path) -> PurePosixPath | None:
    whole = file.parent.resolve() / file.name  # a link itself, not what it leads to
    top = index.top.resolve()
    return PurePosixPath(whole.relative_to(top)) if whole.is_relative_to(top) else None
