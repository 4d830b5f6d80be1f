"""Many images, one after the other: what is done is skipped, what fails does not stop the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from chunking.errors import UserError
from runtime.detector import Detector, OnStep, silent
from runtime.finding import Found
from runtime.images import load_picture
from runtime.outputs import Wanted, write_outputs
from runtime.records import done_already, settings_of


class Outcome(StrEnum):
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
    outcome: Outcome
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
                    now = Done(image, Outcome.SKIPPED, record)
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
            return Done(self.image, Outcome.DONE, self.record.result())
        except UserError as error:
            return _failed(self.image, error)


def _failed(image: Found, error: UserError) -> Done:
    return Done(image, Outcome.FAILED, None, error.problem, error.hint)
