"""Keeps pictures of the images with the largest errors while a run goes on, and forgets the rest.

An image is drawn only where it is among the worst so far, so memory and time stay small: of n
images in any order, about ``K (1 + log(n / K))`` are drawn an output.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.documents import decode, encode
from trufor_onnx.files import sha256_bytes
from trufor_onnx.parity.inputs.cases import LoadedCase
from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.pictures import (
    GREY,
    HEAT,
    WORST,
    Drawing,
    Panel,
    Pictures,
    Plane,
    badness,
    blocks,
    photograph,
    plane,
    scaled_png,
    span,
)
from trufor_onnx.parity.results.rows import SOURCE, Row
from trufor_onnx.parity.runners.base import Outputs

MOST_CHARACTERS = 1_500_000  # of base64, all pictures together
CLIPPED = 0.5  # per cent at either end of a reference's values that share the end's colour
NAME_LENGTH = 16  # hexadecimal digits of a file's name

Array = npt.NDArray[Any]
Key = tuple[Contestant, str]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptPicture:
    """A panel, its files, and what it is ranked by.

    Attributes:
        mae: the row's mean absolute error; None where it has none, which is worst of all.
        panel: the pictures.
        files: their content in base64.
    """

    mae: float | None
    panel: Panel
    files: Mapping[str, str]

    @property
    def key(self) -> Key:
        """What it competes within: one contestant x output."""
        return Contestant.of(self.panel), self.panel.output

    @property
    def rank(self) -> float:
        """How bad it is."""
        return badness(self.mae)


class Gallery:
    """The worst images of a run.

    Args:
        worst: how many are kept of every model x backend x output.
        most_characters: limit of all pictures together, in base64.
    """

    def __init__(self, worst: int = WORST, most_characters: int = MOST_CHARACTERS) -> None:
        self._worst = worst
        self._most_characters = most_characters
        self._kept: dict[Key, list[KeptPicture]] = {}
        self._new: list[KeptPicture] = []

    def see(
        self, loaded: LoadedCase, rows: Sequence[Row], reference: Outputs, candidate: Outputs
    ) -> None:
        """Draw what is among the worst so far. Called while a case's arrays are there.

        Args:
            loaded: an image as it is; crops of the shape matrix and arrays are not drawn.
            rows: one backend's rows of it.
            reference: the float64 network's outputs.
            candidate: the backend's.
        """
        if loaded.case.size is not None or loaded.given is not None:
            return
        for row in rows:
            if row.backend == SOURCE or row.output not in reference:
                continue
            key = (Contestant.of(row), row.output)
            if not self._is_among_the_worst(key, badness(row.mae)):
                continue
            entry = draw(loaded, row, reference[row.output], candidate.get(row.output))
            if entry is not None:
                self._keep(entry)
                self._new.append(entry)

    def taken(self) -> list[dict[str, Any]]:
        """What was drawn since the last call, as the journal keeps it."""
        found: list[dict[str, Any]] = [encode(entry) for entry in self._new]
        self._new.clear()
        return found

    def restore(self, documents: Sequence[object]) -> None:
        """Take back what `taken` gave, from a journal."""
        for document in documents:
            try:
                entry = decode(KeptPicture, document)
            except ValueError as error:
                logger.warning("pictures of an interrupted run are not used (%s)", error)
                continue
            if self._is_among_the_worst(entry.key, entry.rank):
                self._keep(entry)

    def pictures(self) -> Pictures:
        """The worst images, each file once, within the limit: of every output its worst first."""
        files: dict[str, str] = {}
        kept: set[int] = set()
        size = 0
        everything = [entry for entries in self._kept.values() for entry in entries]
        for place in range(self._worst):
            for entries in self._kept.values():
                for entry in entries[place : place + 1]:
                    added = {k: v for k, v in entry.files.items() if k not in files}
                    more = sum(map(len, added.values()))
                    if size + more <= self._most_characters:
                        files |= added
                        size += more
                        kept.add(id(entry))
        panels = tuple(entry.panel for entry in everything if id(entry) in kept)
        return Pictures(files, panels, len(everything) - len(panels))

    def _is_among_the_worst(self, key: Key, rank: float) -> bool:
        entries = self._kept.get(key, [])
        return len(entries) < self._worst or rank > entries[-1].rank

    def _keep(self, entry: KeptPicture) -> None:
        entries = self._kept.setdefault(entry.key, [])
        entries.append(entry)
        entries.sort(key=lambda kept: -kept.rank)  # stable: of equals the first stays first
        del entries[self._worst :]


def draw(
    loaded: LoadedCase, row: Row, reference: Array, candidate: Array | None
) -> KeptPicture | None:
    """The pictures of one row; None for an output that is no map, as a score.

    Args:
        loaded: the image.
        row: the row.
        reference: the float64 network's output, (B, C, H, W) or (B, H, W).
        candidate: the backend's output, or None where it is missing.
    """
    truth = plane(reference)
    if truth is None:
        return None
    files: dict[str, str] = {}
    low, high = span(blocks(truth), percent=CLIPPED)
    note = "the output is missing or has another shape, so it is not drawn"
    shown = error = None
    if candidate is not None and candidate.shape == reference.shape:
        note = ""
        found = plane(candidate)
        with np.errstate(invalid="ignore", over="ignore"):
            distance = plane(np.abs(candidate.astype(np.float64) - reference))
        assert found is not None and distance is not None  # the reference's shape is a map's
        shown = _file(files, scaled_png(blocks(found), low, high, GREY), low, high)
        error = _error(files, blocks(distance, largest=True))
        if not np.isfinite(distance).all():
            note = "cyan: NaN or infinite"
    panel = Panel(
        model=row.model,
        variant=row.variant,
        backend=row.backend,
        provider=row.provider,
        image=row.image,
        output=row.output,
        size=truth.shape,
        channels=reference.shape[1] if reference.ndim == 4 else 1,
        input=_file(files, photograph(loaded.pixels[0])),
        reference=_file(files, scaled_png(blocks(truth), low, high, GREY), low, high),
        candidate=shown,
        error=error,
        note=note,
    )
    return KeptPicture(row.mae, panel, files)


def _error(files: dict[str, str], distance: Plane) -> Drawing:
    _, largest = span(distance)
    return _file(files, scaled_png(distance, 0.0, largest, HEAT), 0.0, largest)


def _file(
    files: dict[str, str], content: bytes, low: float | None = None, high: float | None = None
) -> Drawing:
    name = sha256_bytes(content)[:NAME_LENGTH]
    files[name] = base64.b64encode(content).decode("ascii")
    return Drawing(name, low, high)
