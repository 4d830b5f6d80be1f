"""Pictures that are made: flat and saturated ones, which a data set need not hold.

A network that divides by a picture's own spread gives NaN on a flat one; a file that lost the
epsilon beside the spread is found there and nowhere else. They are judged for finite values, shape
and distance, one by one, and never for the accuracy ratio: on a flat picture every pixel repeats
one rounding, so the ratio of two errors is chance (docs/decisions/cases.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]

MADE_PREFIX = "made:"  # no file of a data set may be called so
LEVELS = {"black": 0, "grey": 128, "white": 255}
SATURATED = "saturated"
KINDS = (*LEVELS, SATURATED)
BLOCK = 8  # pixels a side of a block of one pure colour


@dataclass(frozen=True)
class Made:
    """A picture without a file; it stands where a `parity.inputs.cases.ImageFile` does.

    Attributes:
        kind: ``black``, ``grey``, ``white`` or ``saturated``.
        size: height and width.
        label: none; a made picture is neither real nor fake.
    """

    kind: str
    size: tuple[int, int]
    label: str = ""

    @property
    def name(self) -> str:
        """``made:black``."""
        return MADE_PREFIX + self.kind

    def load(self) -> tuple[Pixels, str]:
        """(H, W, 3) uint8 and the digest of the pixels."""
        pixels = _saturated(self.size) if self.kind == SATURATED else _flat(self.size, self.kind)
        return pixels, sha256(pixels.tobytes()).hexdigest()

    def digest(self) -> str:
        """The digest of the pixels."""
        return self.load()[1]


def is_made(image: str) -> bool:
    """Whether a row of this image is about a made picture."""
    return image.startswith(MADE_PREFIX)


def _flat(size: tuple[int, int], kind: str) -> Pixels:
    return np.full((*size, 3), LEVELS[kind], dtype=np.uint8)


def _saturated(size: tuple[int, int]) -> Pixels:
    """Blocks of the eight pure colours on the left, a checkerboard of black and white right."""
    row, column = np.indices(size)
    corner = (row // BLOCK + 3 * (column // BLOCK)) % 8
    blocks = np.stack([(corner >> bit) & 1 for bit in range(3)], axis=2)
    board = np.broadcast_to(((row + column) % 2)[:, :, np.newaxis], blocks.shape)
    right = (column >= size[1] // 2)[:, :, np.newaxis]
    return (np.where(right, board, blocks) * 255).astype(np.uint8)
