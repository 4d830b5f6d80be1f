"""``python -m runtime``: analyse images from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trufor_onnx.console import EXIT_COULD_NOT, EXIT_OK, run_cli
from trufor_onnx.errors import OutputError
from trufor_onnx.files import atomic_write
from trufor_onnx.options import add_option
from trufor_onnx.runtime.arguments import (
    add_detector_arguments,
    add_output_arguments,
    detector_of,
    wanted_of,
)
from trufor_onnx.runtime.batch import Done, ImageOutcome, analyze_all, batch_progress
from trufor_onnx.runtime.images import find_images
from trufor_onnx.runtime.outputs import SCHEMA_VERSION, encode_json
from trufor_onnx.runtime.session import ended

PROGRAM = "python -m runtime"
SUMMARY = "summary.json"
PIPED_WIDTH = 140  # columns of a table where the output is no terminal


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print. Returns the exit code: 0 all analysed, 2 some or all could not be."""
    return ended(run_cli(_main, argv))


def _main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    wanted = wanted_of(args)
    images = find_images(args.images, beside=args.out)
    if any(f"{image.name}.json" == SUMMARY for image in images):
        raise OutputError(f"an image's record would overwrite {SUMMARY}", hint="rename the image")
    done: list[Done] = []
    with detector_of(args) as detector:
        warning = detector.provenance.warning
        if warning:
            print(f"warning: {warning}", file=sys.stderr)
        with batch_progress(len(images)) as listener:
            for one in analyze_all(
                detector, images, args.out, wanted, overwrite=args.overwrite, on_step=listener.step
            ):
                done.append(one)
                listener.image(one.image.name)
        provenance = detector.provenance.document()
    summary = {
        "schema_version": SCHEMA_VERSION,
        "images": [one.document() for one in done],
        "provenance": provenance,
    }
    _write_summary(args.out, summary)
    if args.json:
        print(encode_json(summary).decode(), end="")
    else:
        _print_table(done, warning)
    for one in done:
        if one.outcome is ImageOutcome.FAILED:
            print(f"error: {_shown(one.problem)}\n  hint: {_shown(one.hint)}", file=sys.stderr)
    failed = any(one.outcome is ImageOutcome.FAILED for one in done)
    return EXIT_COULD_NOT if failed else EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog=PROGRAM,
        description="Localization map, reliability map and integrity score of images (TruFor).",
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="images, folders, quoted patterns"
    )
    add_option(parser, "--out", required=True)
    add_output_arguments(parser)
    add_detector_arguments(parser)
    add_option(parser, "--json")
    return parser


def _shown(text: str) -> str:
    """With escapes for what is not printable: a file's name may hold a terminal's commands."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _write_summary(out: Path, summary: dict[str, object]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        atomic_write(out / SUMMARY, encode_json(summary))
    except OSError as error:
        raise OutputError(
            f"{out / SUMMARY}: cannot be written ({error.strerror})", hint="choose another --out"
        ) from error


def _print_table(done: Sequence[Done], warning: str) -> None:
    from rich.console import Console  # here: --help starts faster without it
    from rich.table import Table
    from rich.text import Text

    table = Table(caption=warning or None, caption_justify="left")
    table.add_column("image", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("forged area", justify="right")
    table.add_column("reliability", justify="right")
    table.add_column("s", justify="right")
    table.add_column("", overflow="fold")
    for one in done:
        name = Text(_shown(one.image.name))
        if one.record is None:
            table.add_row(name, "", "", "", "", Text(one.outcome.value, style="red"))
            continue
        record = one.record
        said = "; ".join([*record["image"]["notes"]])
        before = f"{one.outcome.value}; " if one.outcome is ImageOutcome.SKIPPED else ""
        table.add_row(
            name,
            f"{record['score']:.3f}",
            f"{record['map_over_half']:.1%}",
            f"{record['conf_mean']:.2f}",
            f"{record['timings_ms']['total'] / 1000:.1f}",
            Text((before + said).removesuffix("; ")),
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table)
    counts = {kind: sum(one.outcome is kind for one in done) for kind in ImageOutcome}
    console.print(", ".join(f"{number} {kind.value}" for kind, number in counts.items() if number))
