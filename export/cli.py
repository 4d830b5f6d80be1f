"""``python -m export``: export networks, list them, check locks, download weights."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from trufor_onnx.arrays import read_arrays
from trufor_onnx.console import EXIT_OK, run_cli, stderr_console
from trufor_onnx.export import check
from trufor_onnx.export.build import ExportedFile, Stage, export_model
from trufor_onnx.export.networks.registry import ENTRY_POINT_GROUP, find_typed, registered
from trufor_onnx.export.networks.spec import EXPORTERS, ModelSpec
from trufor_onnx.export.networks.users import set_example
from trufor_onnx.export.replacing import DEFAULT_OUT
from trufor_onnx.export.variants import (
    DEFAULT_OPSET,
    DEFAULT_VARIANT,
    VARIANTS,
    Variant,
    find_variant,
)
from trufor_onnx.export.weights import transfer
from trufor_onnx.export.weights.sources import DEFAULT_FOLDER, WeightsSource
from trufor_onnx.options import add_option, add_weights_options

DIGITS = 16  # of a SHA-256; the lock has all
OUT = DEFAULT_OUT
WIDTH_OF_FILES = 120  # columns where standard output is no terminal


def sentence(result: ExportedFile) -> str:
    """One export in a line."""
    done = f"written in {result.seconds:.1f} s" if result.seconds else "up to date"
    replaced = f"; replaces {result.replaced}" if result.replaced else ""
    return f"{result.path}: {done}; {result.weights}{replaced}"


def exported(results: Iterable[ExportedFile]) -> Table:
    """File, size, digest and weights of each export."""
    table = Table(title="Exported")
    table.add_column("file", overflow="fold")
    table.add_column("MB", justify="right", no_wrap=True)
    table.add_column("SHA-256", no_wrap=True)
    table.add_column("weights", overflow="fold")
    for result in results:
        size = f"{result.size_bytes / 1e6:.1f}"
        digest = result.sha256[:DIGITS]
        table.add_row(escape(str(result.path)), size, digest, escape(result.weights))
    return table


def networks(specs: Iterable[ModelSpec]) -> Table:
    """What can be exported."""
    table = Table(caption=f"and timm:NAME; packages add more (entry point {ENTRY_POINT_GROUP})")
    table.add_column("model", no_wrap=True)
    for heading in ("what", "inputs", "outputs", "loads from"):
        table.add_column(heading, overflow="fold")
    for spec in specs:
        cells = (
            spec.name,
            spec.title,
            ", ".join(tensor.name for tensor in spec.inputs),
            ", ".join(tensor.name for tensor in spec.outputs),
            ", ".join(spec.files),
        )
        table.add_row(*map(escape, cells))
    return table


def variants(known: Iterable[Variant]) -> Table:
    """How a file can be made."""
    table = Table(caption="python -m export MODEL --variant VARIANT")
    table.add_column("variant", no_wrap=True)
    for heading in ("what", "file", "networks"):
        table.add_column(heading, overflow="fold")
    for variant in known:
        infix = "" if variant.name == DEFAULT_VARIANT else f".{variant.name}"
        cells = (
            variant.name,
            variant.title,
            f"MODEL{infix}.onnx",
            ", ".join(variant.models) or "all",
        )
        table.add_row(*map(escape, cells))
    return table


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
    add_option(parser, "models")
    add_weights_options(parser)
    add_option(parser, "--example")
    add_option(parser, "--out", default=OUT)
    add_option(parser, "--variant", "; see `python -m export list`", default=DEFAULT_VARIANT)
    text = f"{DEFAULT_OPSET} or newer (default: the variant's own)"
    parser.add_argument("--opset", type=int, metavar="N", help=text)
    parser.add_argument(
        "--exporter",
        choices=EXPORTERS,
        help="which of torch's: dynamo is slower, and knows operators that the tracer does not "
        "(default: the network's own)",
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
    if args.example:
        set_example(read_arrays(args.example)[0])
    own = {"exporter": args.exporter} if args.exporter else {}
    specs = [replace(find_typed(name), **own) for name in dict.fromkeys(args.models)]
    for spec in specs:
        find_variant(args.variant, spec)  # before the first of them is made
    console = stderr_console()
    done: list[ExportedFile] = []
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
            console.print(sentence(result), markup=False)
            for warning in result.warnings:
                console.print(f"warning: {warning}", markup=False)
    finally:  # also where a later one fails: these are written
        if done:
            _stdout().print(exported(done))
    return EXIT_OK


def _list(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m export list",
        description="Which networks can be exported, and in which variants.",
    )
    parser.parse_args(argv)
    _stdout().print(networks(registered().values()))
    _stdout().print(variants(VARIANTS.values()))
    return EXIT_OK


def _check(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m export check",
        description="Rebuild models in memory and compare them with their lock files. Exit 0: "
        "the same bytes; 1: other bytes; 2: could not compare (another toolchain, no lock).",
    )
    add_option(parser, "models", " (default: every lock in --onnx-models)", nargs="*")
    add_option(parser, "--onnx-models", old=("--out",))
    add_weights_options(parser)
    add_option(parser, "--example")
    args = parser.parse_args(argv)
    if args.example:
        set_example(read_arrays(args.example)[0])
    console, source = stderr_console(), WeightsSource(args.weights, args.stand_in)
    findings = []
    models = [find_typed(name).name for name in args.models]
    for path in check.locked_files(args.onnx_models, models):
        with _progress(console, path.name) as stage:
            finding = check.check_file(path, source, stage=stage)
        findings.append(finding)
        _stdout().print(finding.sentence, markup=False, soft_wrap=True)
    return check.exit_code(findings)


def _weights(argv: list[str]) -> int:
    # What downloads is needed nowhere else.
    from trufor_onnx.export.weights.download import WEIGHTS, WEIGHTS_TERMS, fetch_weights

    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m export weights",
        description="Download the published weights, check their digest, unpack the one file "
        "that is needed. An interrupted download is continued.",
        epilog=WEIGHTS_TERMS,
    )
    add_option(parser, "--out", default=DEFAULT_FOLDER)
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


@contextmanager
def download_progress(label: str, console: Console | None = None) -> Iterator[transfer.Progress]:
    """Draw a bar while the block runs; yields the callback that `export.weights.transfer` takes."""
    console = console or stderr_console()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(label, total=None)

        def show(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        yield show
