"""Procedural texture: smooth noise, its sum over octaves, and cells.

Value noise with a quintic fade, fractal sums and cellular patterns as in Ebert et al.,
"Texturing and Modeling: A Procedural Approach". Everything takes and gives float64 arrays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sample_dataset.maker.draws import Floats, uniform

Ints = npt.NDArray[np.int64]

_SIDE = 256
_TABLE = uniform("noise lattice", _SIDE * _SIDE)
_STRIDE_X, _STRIDE_Y = 57, 113  # how a step along z moves in the table


def noise(x: Floats, y: Floats, z: Floats | float = 0.0) -> Floats:
    """Smooth noise in 0..1, one lattice cell a unit."""
    if isinstance(z, float):
        return _slice(x, y, int(np.floor(z)))
    cell = np.floor(z)
    fade = _fade(z - cell)
    iz = cell.astype(np.int64)
    return _slice(x, y, iz) * (1.0 - fade) + _slice(x, y, iz + 1) * fade


def fbm(
    x: Floats, y: Floats, z: Floats | float = 0.0, *, octaves: int = 4, gain: float = 0.5
) -> Floats:
    """Fractal noise in 0..1: octaves of `noise`, each twice as fine and ``gain`` as strong."""
    total = np.zeros(np.broadcast(x, y).shape)
    weight, norm = 1.0, 0.0
    for octave in range(octaves):
        total += weight * noise(x, y, z)
        norm += weight
        weight *= gain
        # A turn between octaves hides the lattice; the shift keeps octaves apart.
        x, y = 1.6 * x - 1.2 * y + 17.3, 1.2 * x + 1.6 * y + 5.1
        z = z * 2.0 + (float(octave) if isinstance(z, float) else 3.7)
    return total / norm


def cells(x: Floats, y: Floats, key: float = 0.0) -> tuple[Floats, Floats, Floats]:
    """Cellular noise: distance to the nearest and second nearest point, and a value per cell.

    Points are jittered inside the unit squares of the plane; distances are in units.
    """
    ix, iy = np.floor(x), np.floor(y)
    nearest = np.full(x.shape, np.inf)
    second = np.full(x.shape, np.inf)
    value = np.zeros(x.shape)
    shift = int(key) * 31
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            cx, cy = ix + dx, iy + dy
            jx = _lattice(cx.astype(np.int64) + shift, cy.astype(np.int64))
            jy = _lattice(cx.astype(np.int64) + shift + 91, cy.astype(np.int64) + 47)
            distance = np.hypot(cx + 0.1 + 0.8 * jx - x, cy + 0.1 + 0.8 * jy - y)
            closer = distance < nearest
            second = np.where(closer, nearest, np.minimum(second, distance))
            value = np.where(closer, np.mod(jx * 7.0 + jy * 3.0, 1.0), value)
            nearest = np.where(closer, distance, nearest)
    return nearest, second, value


def smoothstep(low: float, high: float, x: Floats) -> Floats:
    """0 below ``low``, 1 above ``high``, a cubic in between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


def _slice(x: Floats, y: Floats, iz: Ints | int) -> Floats:
    cx, cy = np.floor(x), np.floor(y)
    fx, fy = _fade(x - cx), _fade(y - cy)
    ix, iy = cx.astype(np.int64) + iz * _STRIDE_X, cy.astype(np.int64) + iz * _STRIDE_Y
    low = _lattice(ix, iy) * (1.0 - fx) + _lattice(ix + 1, iy) * fx
    high = _lattice(ix, iy + 1) * (1.0 - fx) + _lattice(ix + 1, iy + 1) * fx
    return low * (1.0 - fy) + high * fy


def _lattice(ix: Ints, iy: Ints) -> Floats:
    return _TABLE.take((ix & (_SIDE - 1)) + _SIDE * (iy & (_SIDE - 1)))


def _fade(t: Floats) -> Floats:
    return t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
