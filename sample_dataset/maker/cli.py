"""``python -m sample_dataset.maker``: make or check the pictures, or the CocoGlide subset."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sample_dataset.maker.build import Sample, default_processes, make_samples, write_samples
from sample_dataset.maker.check import check_folder
from sample_dataset.maker.cocoglide import DEFAULT_OUT, TERMS, recreate
from sample_dataset.maker.manifest import load
from sample_dataset.maker.plan import FORGERIES
from sample_dataset.maker.shots import SHOTS
from trufor_onnx.console import EXIT_FAILED, EXIT_OK, run_cli, stderr_console
from trufor_onnx.options import add_option

SAMPLES = Path("sample_dataset")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_option(parser, "--out", f" (default: {SAMPLES}; with --cocoglide: {DEFAULT_OUT})")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--check", action="store_true", help="write nothing; say what in the folder differs"
    )
    choice.add_argument(
        "--cocoglide",
        type=Path,
        metavar="ZIP_OR_FOLDER",
        help="recreate the 50-image subset from the CocoGlide data set instead",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=default_processes(),
        metavar="N",
        help="photographs taken at the same time (default: %(default)s); changes no pixel",
    )


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for; returns the exit code."""
    if args.cocoglide is not None:
        print(TERMS)
        done = recreate(args.cocoglide, args.out or DEFAULT_OUT)
        print(
            f"{done.out}: {done.written} images written, {done.already_there} already there; "
            "every digest is right"
        )
        return EXIT_OK
    out = args.out or SAMPLES
    if args.check:
        load(out)  # a folder that cannot be checked is said before minutes of work
        return _report(out, make_with_progress(args.processes))
    samples = make_with_progress(args.processes)
    write_samples(samples, out)
    total = sum(len(sample.data) + len(sample.mask_data) for sample in samples)
    print(f"{out}: {len(samples)} pictures, {total / 1e6:.2f} MB")
    return EXIT_OK


def make_with_progress(processes: int) -> list[Sample]:
    """Make all pictures, with a bar where standard error is a terminal."""
    console = stderr_console()
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("pictures", total=len(SHOTS) + len(FORGERIES))
        return make_samples(
            processes=processes,
            tick=lambda name: bar.update(task, advance=1, description=name),
        )


def _report(out: Path, samples: list[Sample]) -> int:
    findings = check_folder(out, samples)
    for finding in findings:
        print(f"{'FAULT' if finding.fault else 'note '} {finding.where}: {finding.what}")
    faults = sum(finding.fault for finding in findings)
    if faults:
        print(f"{out}: {faults} faults; `python -m sample_dataset.maker --out {out}` makes it anew")
        return EXIT_FAILED
    print(f"{out}: {len(samples)} pictures, all as the code makes them")
    return EXIT_OK


def main(argv: list[str] | None = None) -> int:
    """``python -m sample_dataset.maker``."""

    def command(arguments: list[str]) -> int:
        parser = argparse.ArgumentParser(
            allow_abbrev=False, prog="python -m sample_dataset.maker", description=__doc__
        )
        add_arguments(parser)
        return run(parser.parse_args(arguments))

    return run_cli(command, argv)
