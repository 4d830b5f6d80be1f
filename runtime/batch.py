"""Many images, one after the other: what is done is skipped, what fails does not stop the rest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from trufor_onnx.console import stderr_console
from trufor_onnx.errors import UserError
from trufor_onnx.runtime.detector import Detector, OnStep, silent
from trufor_onnx.runtime.images import Found, load_picture
from trufor_onnx.runtime.outputs import Wanted, done_already, settings_of, write_outputs


class ImageOutcome(StrEnum):
    """What became of an image."""

    DONE = "analysed"
    SKIPPED = "done before"
    FAILED = "could not"


@dataclass(frozen=True)
class Done:
    """One image of a batch.

    Attributes:
        image: which.
        outcome: what became of it.
        record: its JSON record; None if it failed.
        problem: why it failed, or "".
        hint: what to do about it, or "".
    """

    image: Found
    outcome: ImageOutcome
    record: dict[str, Any] | None = None
    problem: str = ""
    hint: str = ""

    def document(self) -> dict[str, Any]:
        """As the batch's summary has it."""
        score = None if self.record is None else self.record["score"]
        return {
            "image": self.image.name,
            "outcome": self.outcome.value,
            "score": score,
            "problem": self.problem,
        }


def analyze_all(
    detector: Detector,
    images: Sequence[Found],
    out: Path,
    wanted: Wanted,
    *,
    overwrite: bool = False,
    on_step: OnStep = silent,
) -> Iterator[Done]:
    """Analyse images into a folder, and say of each what became of it.

    Files are written by a thread of their own while the next image is analysed.

    Args:
        detector: opened.
        images: in order; results are ``out/NAME.npz`` and so on.
        out: the folder of results; made where it is not there.
        wanted: what to write.
        overwrite: analyse also what is done already.
        on_step: told what is being done to an image; see `Detector.analyze`.
    """
    settings = settings_of(detector.provenance, wanted)
    writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
    before: Pending | None = None
    try:
        for image in images:
            base = out / image.name
            record = None if overwrite else done_already(base, image.path, settings)
            now: Done | Pending
            try:
                if record is not None:
                    now = Done(image, ImageOutcome.SKIPPED, record)
                else:
                    picture = load_picture(image.path, largest_pixels=detector.largest_pixels)
                    analysis = detector.analyze(
                        picture, noiseprint=wanted.noiseprint, on_step=on_step
                    )
                    work = (base, picture.rgb, analysis, wanted, settings)
                    now = Pending(image, writer.submit(write_outputs, *work))
            except UserError as error:
                now = _failed(image, error)
            if before is not None:
                yield before.wait()
                before = None
            if isinstance(now, Pending):
                before = now
            else:
                yield now
        if before is not None:
            yield before.wait()
    finally:
        # Whoever interrupts does not wait: a file that is being written appears whole or not.
        writer.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class Pending:
    """An image whose files are being written."""

    image: Found
    record: Future[dict[str, Any]]

    def wait(self) -> Done:
        """What became of it, once it is written."""
        try:
            return Done(self.image, ImageOutcome.DONE, self.record.result())
        except UserError as error:
            return _failed(self.image, error)


def _failed(image: Found, error: UserError) -> Done:
    return Done(image, ImageOutcome.FAILED, None, error.problem, error.hint)


@dataclass(frozen=True)
class AnalysisListener:
    """What a bar is told.

    Attributes:
        image: an image is done; its name.
        step: a step of the image at work; see `Detector.analyze`.
    """

    image: Callable[[str], None]
    step: OnStep


@contextmanager
def batch_progress(total: int) -> Iterator[AnalysisListener]:
    """Draw bars while the block runs; nothing where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield AnalysisListener(lambda _: None, silent)
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

        yield AnalysisListener(lambda _: bar.advance(images), step)
