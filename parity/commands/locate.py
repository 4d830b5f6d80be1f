"""``python -m parity locate``: name the first module that creates error."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from trufor_onnx.console import EXIT_FAILED, EXIT_OK, printable, stderr_console
from trufor_onnx.errors import ParityError
from trufor_onnx.export.weights.sources import WeightsSource, add_weights_arguments
from trufor_onnx.parity.locate.report import json_text, table, write
from trufor_onnx.parity.locate.run import LocateListener, Question, locate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a network; see `python -m export list`")
    add_weights_arguments(parser)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--candidate", type=Path, metavar="FILE", help="this ONNX file, from wherever it is"
    )
    chosen.add_argument("--variant", default="", metavar="V", help="the exported NAME.V.onnx")
    parser.add_argument(
        "--image",
        type=Path,
        default=Path("sample_dataset"),
        metavar="FILE",
        help="an image, or a data set: its first image (default: %(default)s)",
    )
    parser.add_argument(
        "--size", metavar="HxW", help="crop from the image's middle (default: 96x128)"
    )
    parser.add_argument(
        "--onnx-models",
        type=Path,
        default=Path("onnx_models"),
        metavar="DIR",
        help="where exported files are (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write locate.json and locate.md there"
    )
    parser.add_argument("--all", action="store_true", help="every part in the table")
    parser.add_argument("--json", action="store_true", help="JSON on standard output, no table")


def run(args: argparse.Namespace) -> int:
    """Locate and print. Exit code: 0 none above rounding, 1 found, 2 could not (an exception)."""
    question = Question(
        model=args.model,
        source=WeightsSource(args.weights, args.stand_in),
        candidate=args.candidate,
        variant=args.variant,
        image=args.image,
        size=_size(args.size),
        folder=args.onnx_models,
    )
    with _View() as view:
        found = locate(question, view)
    if args.json:
        print(json_text(found), end="")
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 160
        console.print(table(found, whole=args.all))
        console.print(printable(found.sentence()), markup=False)
    if args.out is not None:
        paths = write(found, args.out)
        stderr_console().print(", ".join(map(str, paths)), markup=False)
    return EXIT_FAILED if found.faults else EXIT_OK


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise ParityError(f"--size {text}: not HxW in pixels", hint="--size 96x128")
    return int(match[1]), int(match[2])


class _View(LocateListener):
    """Progress on standard error, nothing where that is no terminal."""

    def __init__(self) -> None:
        console = stderr_console()
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        self._progress = Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        )
        self._task = self._progress.add_task("", total=None)

    def say(self, text: str) -> None:
        self._progress.update(self._task, description=text)

    def node(self, index: int, count: int) -> None:
        self._progress.update(self._task, completed=index + 1, total=count)

    def __enter__(self) -> _View:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()
