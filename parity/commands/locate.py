"""``python -m parity locate``: name the first module that creates error."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from trufor_onnx.console import EXIT_FAILED, EXIT_OK, printable, stderr_console
from trufor_onnx.errors import ParityError
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.options import Value, add_option, add_weights_options
from trufor_onnx.parity.commands.arguments import model_of, use_example
from trufor_onnx.parity.locate.report import json_text, table, write
from trufor_onnx.parity.locate.run import LocateListener, Question, locate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a network; see `python -m export list`")
    add_weights_options(parser)
    chosen = parser.add_mutually_exclusive_group()
    add_option(chosen, "--candidate", "; this one is looked into", default=None, action=Value)
    add_option(chosen, "--variant", "; MODEL.VARIANT.onnx is looked into", default="")
    add_option(parser, "--images", "; its first image is taken", old=("--image",))
    add_option(parser, "--feeds", "; the first of them is taken, in place of an image")
    add_option(parser, "--size", "; cut from the image's middle (default: 96x128)")
    add_option(parser, "--onnx-models")
    add_option(parser, "--out", ": locate.json and locate.md")
    parser.add_argument("--all", action="store_true", help="every part in the table")
    add_option(parser, "--json")


def run(args: argparse.Namespace) -> int:
    """Locate and print. Exit code: 0 none above rounding, 1 found, 2 could not (an exception)."""
    use_example(args)
    model = model_of(args.model)
    question = Question(
        model=model,
        source=WeightsSource(args.weights, args.stand_in),
        candidate=_candidate(model, args.candidate),
        variant=args.variant,
        image=args.images,
        size=_size(args.size),
        folder=args.onnx_models,
        feeds=args.feeds,
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


def _candidate(model: str, text: str | None) -> Path | None:
    """The file of ``MODEL=FILE``; of the last release's ``FILE`` too, which is said."""
    if text is None:
        return None
    name, separator, file = text.partition("=")
    if not separator or Path(text).exists():
        if name == model and Path(file).exists():
            raise ParityError(
                f"--candidate {text}: there are both {text} and {file}", hint="rename one of them"
            )
        print("note: --candidate FILE is now --candidate MODEL=FILE", file=sys.stderr)
        return Path(text)
    if name != model or not file:
        raise ParityError(
            f"--candidate {text}: not {model}=FILE", hint=f"--candidate {model}=FILE.onnx"
        )
    return Path(file)


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
