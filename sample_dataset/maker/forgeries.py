"""What forgers do to a picture: splice, copy and move, paint out, blur.

Every operation takes an ``(H, W, 3)`` uint8 picture and gives the forged one and the mask of what
was changed, ``(H, W)`` bool. A pixel at a feathered seam counts as changed where at least half of
it is new, and in a painted shadow where it is darker by a fifth or more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sample_dataset.maker.draws import Floats
from sample_dataset.maker.filters import gaussian, round_half_up, sample, to_bytes

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Placement:
    """Where a cut-out goes: scaled and turned, its centre moved by ``(down, right)`` pixels."""

    down: float
    right: float
    scale: float = 1.0
    turn_degrees: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True)
class Finish:
    """How a forger hides the seam."""

    feather: float = 0.7  # sigma, pixels
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)  # colour match
    shadow: float = 0.0  # darkness of a painted contact shadow, 0..1


def paste(
    host: Picture, donor: Picture, matte: Floats, placement: Placement, finish: Finish
) -> tuple[Picture, Mask]:
    """Put what ``matte`` (``(H, W)``, 0..1) selects of the donor onto the host."""
    rows, columns = _source_places(matte, placement)
    inside = (rows > -0.5) & (rows < matte.shape[0] - 0.5)
    inside &= (columns > -0.5) & (columns < matte.shape[1] - 0.5)
    alpha = np.clip(sample(matte, rows, columns), 0.0, 1.0) * inside
    alpha = np.clip(gaussian(alpha, finish.feather) * 1.5 - 0.4, 0.0, 1.0)  # inside the rim
    pixels = sample(donor.astype(np.float64), rows, columns) * np.asarray(finish.gain)
    shade = np.zeros_like(alpha)
    if finish.shadow > 0.0:
        shade = finish.shadow * _contact_shadow(alpha)
    ground = host * (1.0 - shade[..., None])
    forged = ground * (1.0 - alpha[..., None]) + pixels * alpha[..., None]
    return to_bytes(forged), (alpha >= 0.5) | (shade >= 0.2)


def blur(host: Picture, matte: Floats, sigma: float, feather: float) -> tuple[Picture, Mask]:
    """Blur what the matte selects."""
    alpha = gaussian(matte, feather)[..., None]
    soft = gaussian(host.astype(np.float64), sigma)
    picture = to_bytes(host * (1.0 - alpha) + soft * alpha)
    return picture, alpha[..., 0] >= 0.5


def ellipse(size: int, centre: tuple[float, float], radii: tuple[float, float]) -> Floats:
    """A matte: 1 inside the ellipse (row, column), antialiased."""
    rows, columns = np.indices((size, size))
    distance = np.hypot((rows - centre[0]) / radii[0], (columns - centre[1]) / radii[1])
    return np.asarray(np.clip((1.0 - distance) * min(radii) + 0.5, 0.0, 1.0))


def rectangle(size: int, top: int, left: int, bottom: int, right: int) -> Floats:
    """A matte: 1 in rows ``top:bottom`` and columns ``left:right``."""
    matte = np.zeros((size, size))
    matte[top:bottom, left:right] = 1.0
    return matte


def grown(matte: Floats, pixels: float) -> Floats:
    """A matte's region, larger by about so many pixels, soft at the edge."""
    reach = int(np.ceil(pixels))
    padded = np.pad(matte, reach)
    out = matte.copy()
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            weight = np.clip(pixels + 1.0 - np.hypot(dx, dy), 0.0, 1.0)
            shifted = padded[reach + dy :, reach + dx :][: matte.shape[0], : matte.shape[1]]
            out = np.maximum(out, weight * shifted)
    return out


def _source_places(matte: Floats, placement: Placement) -> tuple[Floats, Floats]:
    """For each pixel of the result, where in the donor it comes from."""
    rows, columns = np.indices(matte.shape).astype(np.float64)
    total = matte.sum()
    middle_row, middle_column = (rows * matte).sum() / total, (columns * matte).sum() / total
    # Whole pixels, so that a plain move copies pixels exactly.
    middle_row, middle_column = round_half_up(middle_row), round_half_up(middle_column)
    y, x = rows - middle_row - placement.down, columns - middle_column - placement.right
    angle = np.radians(placement.turn_degrees)
    back_y = (np.cos(angle) * y + np.sin(angle) * x) / placement.scale
    back_x = (np.cos(angle) * x - np.sin(angle) * y) / placement.scale
    if placement.mirrored:
        back_x = -back_x
    return back_y + middle_row, back_x + middle_column


def _contact_shadow(alpha: Floats) -> Floats:
    """A soft dark spot under the lower part of what was pasted, drawn out to the right."""
    rows, columns = np.nonzero(alpha > 0.5)
    bottom, left, right = rows.max(), columns.min(), columns.max()
    width = right - left
    y, x = np.indices(alpha.shape)
    away = np.hypot(
        (x - (left + 0.62 * width)) / (0.62 * width), (y - bottom + 0.05 * width) / (0.16 * width)
    )
    return np.asarray(np.clip(1.2 - away, 0.0, 1.0) ** 1.5)
