"""Colour tables that people with any colour vision can read, and that print in grey.

Both are published tables of matplotlib (CC0), at evenly spaced anchors, linear between them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEVELS = 256

INFERNO = (
    "000004",
    "1b0c41",
    "4a0c6b",
    "781c6d",
    "a52c60",
    "cf4446",
    "ed6925",
    "fb9b06",
    "f7d13d",
    "fcffa4",
)
VIRIDIS = (
    "440154",
    "482878",
    "3e4989",
    "31688e",
    "26828e",
    "1f9e89",
    "35b779",
    "6ece58",
    "b5de2b",
    "fde725",
)

Table = npt.NDArray[np.uint8]


def table(anchors: tuple[str, ...]) -> Table:
    """(256, 3) uint8: the colours of 0..1 in equal steps.

    Args:
        anchors: colours as six hexadecimal digits, evenly spaced over 0..1.
    """
    known = np.array([list(bytes.fromhex(anchor)) for anchor in anchors], np.float64)
    places = np.linspace(0.0, 1.0, len(anchors))
    wanted = np.linspace(0.0, 1.0, LEVELS)
    channels = [np.interp(wanted, places, known[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def levels(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """0..1 as 0..255, rounded to the nearest."""
    return (values * np.float32(LEVELS - 1) + np.float32(0.5)).astype(np.uint8)


def coloured(values: npt.NDArray[np.float32], colours: Table) -> npt.NDArray[np.uint8]:
    """(H, W) of 0..1 as (H, W, 3) uint8."""
    return colours[levels(values)]
