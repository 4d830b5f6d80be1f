"""Pictures by which a quantised file is made, and others by which it is judged.

Crops of ``sample_dataset/``: ranges fit the pictures that they were taken from best of all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.errors import ExportError
from export.preprocess import read_image, to_input
from export.spec import Preprocessing

FOLDER = Path(__file__).resolve().parents[1] / "sample_dataset" / "real"
PICTURES = 4  # of each kind
EVERY = 3
CALIBRATE, JUDGE = 0, 1  # the first of every three pictures, and the second
SIDE = 96  # pixels; Noiseprint++ sees 35 x 35 of them at a time

Feeds = dict[str, npt.NDArray[Any]]


def picture_feeds(name: str, first: int, *, folder: Path = FOLDER) -> list[Feeds]:
    """The middle of every third picture, RGB / 256, as an input ``name`` (1, 3, SIDE, SIDE).

    Args:
        name: the network's input.
        first: `CALIBRATE` or `JUDGE`.
        folder: of the pictures.

    Raises:
        ExportError: there are not enough pictures.
    """
    pictures = sorted(path for path in folder.glob("*") if path.suffix in (".jpg", ".png"))
    pictures = pictures[first::EVERY]
    if len(pictures) < PICTURES:
        raise ExportError(
            f"{folder} holds too few pictures to make a quantised file",
            hint="run in a checkout with sample_dataset/ (`make dataset` makes it)",
        )
    return [{name: to_input(_middle(p), Preprocessing())} for p in pictures[:PICTURES]]


def _middle(path: Path) -> npt.NDArray[np.uint8]:
    rgb = read_image(path).rgb
    top, left = ((side - SIDE) // 2 for side in rgb.shape[:2])
    return rgb[top : top + SIDE, left : left + SIDE]
