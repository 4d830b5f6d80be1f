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

from parity.metrics import measure
from parity.tolerances import Tolerance

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]

MADE_PREFIX = "made:"  # no file of a data set may be called so
LEVELS = {"black": 0, "grey": 128, "white": 255}
SATURATED = "saturated"
KINDS = (*LEVELS, SATURATED)
BLOCK = 8  # pixels a side of a block of one pure colour
# On a flat picture the rounding of a mean is divided by the root of the epsilon beside a spread:
# 1e-6 makes it a thousand times larger. A right InstanceNorm file is 50 limits off on grey.
FLAT_ENLARGES = 1000.0


@dataclass(frozen=True)
class Made:
    """A picture without a file; it stands where a `parity.cases.Picture` does.

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


def undefined(
    kind: str, candidate: Array, reference: Array, source: Array, tolerance: Tolerance
) -> str:
    """Why a distance on a made picture says nothing of the candidate, or "".

    A right file is not to fail where the network itself has no answer: PyTorch gives NaN, or its
    float32 is further from float64 than any file may be, or rounding is all that differs. A
    candidate whose values alone are not finite is wrong in any case, and so is a distance that no
    rounding makes.

    Args:
        kind: the made picture's.
        candidate: what the backend gave.
        reference: what the float64 network gave.
        source: what PyTorch float32 gave.
        tolerance: what is allowed.
    """
    if candidate.shape != reference.shape or candidate.dtype != source.dtype:
        return ""
    for precision, given in (("float64", reference), ("float32", source)):
        if not np.isfinite(given).all():
            return f"PyTorch {precision} itself gives NaN or infinite values on a picture like this"
    if candidate.size == 0 or not np.isfinite(candidate).all() or tolerance.relative:
        return ""  # limits that are shares of other cases' spread: `parity.limits` decides
    of_source, errors = measure(source, reference), measure(candidate, reference)
    if of_source.mae > tolerance.mae or of_source.max_abs > tolerance.max_abs:
        return (
            f"PyTorch float32 itself is off by {of_source.max_abs:.3g} on a picture like this: "
            "the network amplifies rounding there"
        )
    # Limits of float16 are wide already: a thousand of them would be any output at all.
    most = FLAT_ENLARGES if kind in LEVELS and not tolerance.judges_no_ratio else 0.0
    if errors.mae <= most * tolerance.mae and errors.max_abs <= most * tolerance.max_abs:
        return (
            f"off by {errors.max_abs:.3g}, which the rounding of a mean can be on a flat picture; "
            "finite, as the network is"
        )
    return ""


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
