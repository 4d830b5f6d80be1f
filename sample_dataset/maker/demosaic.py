"""From one colour a pixel to three: three ways that cameras differ in.

A mosaic is ``(H, W)`` float64 behind a Bayer colour filter array; a pattern is its 2 x 2 corner
read row by row, such as ``RGGB``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sample_dataset.maker.draws import Floats
from sample_dataset.maker.filters import correlate

_CHANNEL = {"R": 0, "G": 1, "B": 2}
_CROSS = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4.0
_SQUARE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4.0


def filter_array(pattern: str, shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    """``(H, W)``: which channel (0, 1, 2) each pixel sees."""
    corner = np.array(
        [[_CHANNEL[pattern[0]], _CHANNEL[pattern[1]]], [_CHANNEL[pattern[2]], _CHANNEL[pattern[3]]]]
    )
    rows, columns = np.indices(shape)
    return corner[rows % 2, columns % 2]


def bilinear(mosaic: Floats, pattern: str) -> Floats:
    """Each missing value is the mean of its nearest neighbours: ``(H, W, 3)``."""
    channel = filter_array(pattern, mosaic.shape)
    planes = []
    for index, kernel in ((0, _SQUARE), (1, _CROSS), (2, _SQUARE)):
        planes.append(correlate(np.where(channel == index, mosaic, 0.0), kernel))
    return np.stack(planes, axis=-1)


def gradient_corrected(mosaic: Floats, pattern: str) -> Floats:
    """Malvar, He, Cutler, "High-quality linear interpolation", ICASSP 2004: 5 x 5 kernels."""
    channel = filter_array(pattern, mosaic.shape)
    green_row = channel[:, :2].copy()
    reds_in_row = np.repeat((green_row == 0).any(axis=1)[:, None], mosaic.shape[1], axis=1)
    at_green = (
        np.array(
            [
                [0, 0, -1, 0, 0],
                [0, 0, 2, 0, 0],
                [-1, 2, 4, 2, -1],
                [0, 0, 2, 0, 0],
                [0, 0, -1, 0, 0],
            ]
        )
        / 8.0
    )
    along = (
        np.array(
            [
                [0, 0, 0.5, 0, 0],
                [0, -1, 0, -1, 0],
                [-1, 4, 5, 4, -1],
                [0, -1, 0, -1, 0],
                [0, 0, 0.5, 0, 0],
            ]
        )
        / 8.0
    )
    cross = (
        np.array(
            [
                [0, 0, -1.5, 0, 0],
                [0, 2, 0, 2, 0],
                [-1.5, 0, 6, 0, -1.5],
                [0, 2, 0, 2, 0],
                [0, 0, -1.5, 0, 0],
            ]
        )
        / 8.0
    )
    green = np.where(channel == 1, mosaic, correlate(mosaic, at_green))
    beside, above = correlate(mosaic, along), correlate(mosaic, along.T)
    diagonal = correlate(mosaic, cross)
    red = np.where(channel == 1, np.where(reds_in_row, beside, above), diagonal)
    blue = np.where(channel == 1, np.where(reds_in_row, above, beside), diagonal)
    red, blue = np.where(channel == 0, mosaic, red), np.where(channel == 2, mosaic, blue)
    return np.stack([red, green, blue], axis=-1)


def edge_directed(mosaic: Floats, pattern: str) -> Floats:
    """Green along the weaker gradient, then smooth colour differences (Hamilton, Adams, 1997)."""
    channel = filter_array(pattern, mosaic.shape)
    mean_x = np.array([[0.5, 0.0, 0.5]])
    second_x = np.array([[-1.0, 0.0, 2.0, 0.0, -1.0]])
    step_x = np.array([[-1.0, 0.0, 1.0]])
    beside = correlate(mosaic, mean_x) + correlate(mosaic, second_x) / 4.0
    above = correlate(mosaic, mean_x.T) + correlate(mosaic, second_x.T) / 4.0
    change_x = np.abs(correlate(mosaic, step_x)) + np.abs(correlate(mosaic, second_x))
    change_y = np.abs(correlate(mosaic, step_x.T)) + np.abs(correlate(mosaic, second_x.T))
    share = change_y / (change_x + change_y + 1e-6)
    green = np.where(channel == 1, mosaic, share * beside + (1.0 - share) * above)
    planes = [
        green + correlate(np.where(channel == index, mosaic - green, 0.0), _SQUARE)
        for index in (0, 2)
    ]
    return np.stack([planes[0], green, planes[1]], axis=-1)


METHODS = {
    "bilinear": bilinear,
    "gradient-corrected": gradient_corrected,
    "edge-directed": edge_directed,
}
