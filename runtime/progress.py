"""Progress on standard error: images done, and what is being done to the one at work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chunking.console import stderr_console
from runtime.detector import OnStep, silent


@dataclass(frozen=True)
class Listener:
    """What a bar is told.

    Attributes:
        image: an image is done; its name.
        step: a step of the image at work; see `Detector.analyze`.
    """

    image: Callable[[str], None]
    step: OnStep


@contextmanager
def batch_progress(total: int) -> Iterator[Listener]:
    """Draw bars while the block runs; nothing where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield Listener(lambda _: None, silent)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr_console(), transient=True) as bar:
        images = bar.add_task("images", total=total)
        steps = bar.add_task("reading", total=1)

        def step(name: str, done: int, of: int) -> None:
            if done == 0 or bar.tasks[steps].description != name:
                bar.reset(steps, description=name, total=of)
            bar.update(steps, completed=done, total=of)

        yield Listener(lambda _: bar.advance(images), step)
