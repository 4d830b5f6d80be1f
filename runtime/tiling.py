"""Noiseprint++ by tiles: the same map as of the whole image, with bounded memory.

The network sees 17 pixels in every direction (17 convolutions 3 x 3). A tile is cut with a border
of 17 real pixels more, and the border's outputs are dropped. At the image's own edge the cut
ends there, never extended with zeros: every convolution pads its own input anew, so zeros
around the image would become something else after the first one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import AnalysisError

BORDER = 17  # pixels
DEFAULT_TILE = 1024  # pixels

Map = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


class Span(NamedTuple):
    """A stretch of rows or columns.

    Attributes:
        read: of the image, with the border.
        write: of the map, what is kept.
        keep: of the tile's own output, the same.
    """

    read: slice
    write: slice
    keep: slice


def spans(length: int, tile: int) -> list[Span]:
    """Cut ``length`` pixels into stretches of nearly one size, at most ``tile`` each."""
    count = math.ceil(length / tile)
    edges = [index * length // count for index in range(count + 1)]
    found = []
    for start, stop in itertools.pairwise(edges):
        first, last = max(0, start - BORDER), min(length, stop + BORDER)
        kept = slice(start - first, stop - first)
        found.append(Span(slice(first, last), slice(start, stop), kept))
    return found


def tiles(height: int, width: int, tile: int) -> Iterator[tuple[Span, Span]]:
    """Rows and columns of every tile, from the top left, row by row."""
    for rows in spans(height, tile):
        for columns in spans(width, tile):
            yield rows, columns


def by_tiles(
    rgb: Pixels,
    tile: int,
    extract: Callable[[Pixels], Map],
    on_tile: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005 - says nothing
) -> Map:
    """The map of a whole image, tile by tile.

    Args:
        rgb: (H, W, 3) uint8.
        tile: the most rows and columns of a tile, without its border.
        extract: (h, w, 3) uint8 to (h, w) float32; sees `BORDER` pixels in every direction.
        on_tile: told how many tiles are done, of how many.

    Returns:
        (H, W) float32.

    Raises:
        AnalysisError: the tile is smaller than one pixel.
    """
    if tile < 1:
        raise AnalysisError(f"a tile of {tile} pixels", hint="--tile takes 1 or more, as 1024")
    height, width = rgb.shape[:2]
    plan = list(tiles(height, width, tile))
    on_tile(0, len(plan))
    if len(plan) == 1:
        found = extract(rgb)
        on_tile(1, 1)
        return found
    result = np.empty((height, width), np.float32)
    for done, (rows, columns) in enumerate(plan, 1):
        part = extract(rgb[rows.read, columns.read])
        result[rows.write, columns.write] = part[rows.keep, columns.keep]
        on_tile(done, len(plan))
    return result
