"""Small image filters on ``(H, W)`` or ``(H, W, C)`` float64 arrays, edges mirrored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sample_dataset.maker.draws import Floats

_TIE = 2.0**-20  # a half that rounding noise has pushed down is still a half


def gaussian(image: Floats, sigma: float) -> Floats:
    """Gaussian blur, cut at three sigma."""
    if sigma <= 0.0:
        return image
    reach = max(1, int(np.ceil(3.0 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    return _along(_along(image, kernel, 0), kernel, 1)


def correlate(image: Floats, kernel: Floats) -> Floats:
    """2-D correlation of ``(H, W)`` with a small odd-sized kernel."""
    ry, rx = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = np.pad(image, ((ry, ry), (rx, rx)), mode="reflect")
    out = np.zeros_like(image)
    for (y, x), weight in np.ndenumerate(kernel):
        if weight:
            out += weight * padded[y : y + image.shape[0], x : x + image.shape[1]]
    return out


def sample(image: Floats, rows: Floats, columns: Floats) -> Floats:
    """Values at fractional places: Catmull-Rom interpolation, outside the border's."""
    r, c = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    weights_r, weights_c = _catmull_rom(rows - r), _catmull_rom(columns - c)
    extra = (1,) * (image.ndim - 2)
    out = np.zeros(rows.shape + image.shape[2:])
    for i in range(4):
        y = np.clip(r + i - 1, 0, image.shape[0] - 1)
        for j in range(4):
            x = np.clip(c + j - 1, 0, image.shape[1] - 1)
            weight = (weights_r[i] * weights_c[j]).reshape(rows.shape + extra)
            out += weight * image[y, x]
    return out


def to_bytes(image: Floats) -> npt.NDArray[np.uint8]:
    """0..255 float to 8 bit, halves up."""
    return np.clip(round_half_up(image), 0.0, 255.0).astype(np.uint8)


def round_half_up(values: Floats) -> Floats:
    """Round so that the last bits of a float never decide: exact halves always go up."""
    return np.floor(values + (0.5 + _TIE))


def _along(image: Floats, kernel: Floats, axis: int) -> Floats:
    reach = kernel.size // 2
    pad = [(0, 0)] * image.ndim
    pad[axis] = (reach, reach)
    padded = np.pad(image, pad, mode="reflect")
    out = np.zeros_like(image)
    for shift, weight in enumerate(kernel):
        cut = [slice(None)] * image.ndim
        cut[axis] = slice(shift, shift + image.shape[axis])
        out += weight * padded[tuple(cut)]
    return out


def _catmull_rom(t: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    return (
        0.5 * t * (-1.0 + t * (2.0 - t)),
        0.5 * (2.0 + t * t * (3.0 * t - 5.0)),
        0.5 * t * (1.0 + t * (4.0 - 3.0 * t)),
        0.5 * t * t * (t - 1.0),
    )
