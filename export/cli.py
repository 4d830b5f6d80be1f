"""``python -m export``: export networks, list them, check locks, download weights."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from chunking.console import EXIT_OK, run_cli, stderr_console
from export import check, tables
from export.arguments import add_weights_arguments
from export.build import Exported, Stage, export_model
from export.registry import find, registered
from export.replacing import DEFAULT_OUT
from export.sources import DEFAULT_FOLDER, WeightsSource
from export.variants import DEFAULT_OPSET, DEFAULT_VARIANT, VARIANTS, find_variant

OUT = DEFAULT_OUT
WIDTH_OF_FILES = 120  # columns where standard output is no terminal


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print. Returns the exit code: 0 done, 1 a check failed, 2 could not."""
    return run_cli(_main, argv)


def _main(argv: list[str]) -> int:
    commands = {"weights": _weights, "check": _check, "list": _list}
    if argv and argv[0] in commands:
        return commands[argv[0]](argv[1:])
    return _export(argv)


def _export(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m export",
        description="Export networks to ONNX: the same bytes on every run, every weight proven.",
        epilog="Other commands: `list` the networks, `check` (rebuild and compare with the "
        "locks), `weights` (download the published weights). Each has its own --help.",
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="see `python -m export list`")
    add_weights_arguments(parser)
    parser.add_argument("--out", type=Path, default=OUT, help="folder (default: %(default)s)")
    parser.add_argument(
        "--variant",
        default=DEFAULT_VARIANT,
        help=f"{', '.join(VARIANTS)} (default: %(default)s); see `python -m export list`",
    )
    parser.add_argument(
        "--opset", type=int, help=f"{DEFAULT_OPSET} or newer (default: the variant's own)"
    )
    parser.add_argument(
        "--missing-only", action="store_true", help="keep files that are whole and up to date"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="replace files and locks of other weights, and files that are only in pieces, in "
        "git-lfs or in DVC (without it they are refused)",
    )
    args = parser.parse_args(argv)
    source = WeightsSource(args.weights, args.stand_in)
    specs = [find(name) for name in dict.fromkeys(args.models)]
    for spec in specs:
        find_variant(args.variant, spec)  # before the first of them is made
    console = stderr_console()
    done: list[Exported] = []
    try:
        for spec in specs:
            with _progress(console, spec.name) as stage:
                result = export_model(
                    spec,
                    source,
                    args.out,
                    variant=args.variant,
                    opset=args.opset,
                    missing_only=args.missing_only,
                    replace=args.replace,
                    stage=stage,
                )
            done.append(result)
            console.print(tables.sentence(result), markup=False)
            for warning in result.warnings:
                console.print(f"warning: {warning}", markup=False)
    finally:  # also where a later one fails: these are written
        if done:
            _stdout().print(tables.exported(done))
    return EXIT_OK


def _list(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m export list",
        description="Which networks can be exported, and in which variants.",
    )
    parser.parse_args(argv)
    _stdout().print(tables.networks(registered().values()))
    _stdout().print(tables.variants(VARIANTS.values()))
    return EXIT_OK


def _check(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m export check",
        description="Rebuild models in memory and compare them with their lock files. Exit 0: "
        "the same bytes; 1: other bytes; 2: could not compare (another toolchain, no lock).",
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: every lock in --out")
    parser.add_argument("--out", type=Path, default=OUT, help="folder (default: %(default)s)")
    add_weights_arguments(parser)
    args = parser.parse_args(argv)
    console, source = stderr_console(), WeightsSource(args.weights, args.stand_in)
    findings = []
    for path in check.locked_files(args.out, args.models):
        with _progress(console, path.name) as stage:
            finding = check.check_file(path, source, stage=stage)
        findings.append(finding)
        _stdout().print(finding.sentence, markup=False, soft_wrap=True)
    return check.exit_code(findings)


def _weights(argv: list[str]) -> int:
    # What downloads is needed nowhere else.
    from export.download import fetch_weights
    from export.progress import download_progress
    from export.publication import WEIGHTS, WEIGHTS_TERMS

    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m export weights",
        description="Download the published weights, check their digest, unpack the one file "
        "that is needed. An interrupted download is continued.",
        epilog=WEIGHTS_TERMS,
    )
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_FOLDER, help="folder (default: %(default)s)"
    )
    parser.add_argument(
        "--url",
        action="append",
        metavar="URL",
        help="mirror to try; may be given several times (default: the publisher's address). "
        "The digest must be the published one all the same",
    )
    args = parser.parse_args(argv)
    console = stderr_console()
    console.print(WEIGHTS_TERMS, markup=False)
    with download_progress(WEIGHTS.archive_name, console) as progress:
        fetched = fetch_weights(args.out, url=args.url, progress=progress)
    _stdout().print(fetched.describe(), markup=False, soft_wrap=True)
    return EXIT_OK


@contextmanager
def _progress(console: Console, name: str) -> Iterator[Stage]:
    """Show what is being done while the block runs; nothing where there is no terminal."""
    with console.status(escape(name)) as status:
        yield lambda text: status.update(escape(f"{name}: {text}"))


def _stdout() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH_OF_FILES)
