"""Land seen from the ground: a grid of heights, rays marched over it, sun, shadow and haze.

Points and directions are ``(3, N)`` float64, y is up, lengths are in kilometres or in metres as
the scene likes. Light is linear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sample_dataset.maker.draws import Floats
from sample_dataset.maker.scene import Rendering
from sample_dataset.maker.shapes import Point, unit

SUPERSAMPLE = 2
STEPS = 260
SHADOW_STEPS = 48
GRID = 768


@dataclass(frozen=True)
class HeightField:
    """Heights on a square grid, ``side`` long, whose corner is at ``(left, near)``."""

    heights: Floats  # (n, n), rows along z, columns along x
    left: float
    near: float
    side: float

    def at(self, x: Floats, z: Floats) -> Floats:
        """Height at each place, interpolated linearly; the border's outside."""
        return _bilinear(self.heights, *self._grid(x, z))

    def normal(self, x: Floats, z: Floats) -> Floats:
        """``(3, N)`` unit normals."""
        cell = self.side / (self.heights.shape[0] - 1)
        east, north = (
            self.at(x + cell, z) - self.at(x - cell, z),
            self.at(x, z + cell) - self.at(x, z - cell),
        )
        return unit(np.stack([-east, np.full(x.shape, 2.0 * cell), -north]))

    def _grid(self, x: Floats, z: Floats) -> tuple[Floats, Floats]:
        last = self.heights.shape[0] - 1
        column = (x - self.left) / self.side * last
        row = (z - self.near) / self.side * last
        return np.clip(row, 0.0, last - 1e-6), np.clip(column, 0.0, last - 1e-6)


@dataclass(frozen=True)
class Land:
    """A landscape and where it is seen from (looking along +z)."""

    field: HeightField
    eye: Point
    pitch_degrees: float
    fov_degrees: float
    sun_from: Point
    sun_rgb: Point
    ambient_rgb: Point
    sky: Callable[[Floats], Floats]  # of directions
    ground: Callable[[Floats, Floats], tuple[Floats, Floats]]  # points, normals: colour, normals
    haze_rgb: Point
    haze: float  # extinction per unit length
    reach: tuple[float, float]
    water: Callable[[Floats], Floats] | None = None  # ripples: (3, N) added to the normal; level 0


def square_grid(side: float, left: float, near: float) -> tuple[Floats, Floats]:
    """The x and z of a `HeightField`'s places, each ``(GRID, GRID)``."""
    z, x = np.meshgrid(
        near + np.linspace(0.0, side, GRID), left + np.linspace(0.0, side, GRID), indexing="ij"
    )
    return x, z


def render_land(land: Land, size: int) -> Rendering:
    """Render ``size`` x ``size`` pixels; "sky" is the one group of the coverage."""
    fine = size * SUPERSAMPLE
    half = np.tan(np.radians(land.fov_degrees) / 2.0)
    ys, xs = np.meshgrid(np.arange(fine), np.arange(fine), indexing="ij")
    u = (2.0 * (xs.ravel() + 0.5) / fine - 1.0) * half
    v = (1.0 - 2.0 * (ys.ravel() + 0.5) / fine) * half
    pitch = np.radians(land.pitch_degrees)
    direction = unit(
        np.stack([u, v * np.cos(pitch) + np.sin(pitch), np.cos(pitch) - v * np.sin(pitch)])
    )
    light, sky = np.zeros_like(direction), np.zeros(direction.shape[1])
    block = 1 << 15
    for first in range(0, direction.shape[1], block):
        part = slice(first, first + block)
        rays = direction[:, part]
        origin = np.repeat(np.asarray(land.eye)[:, None], rays.shape[1], axis=1)
        light[:, part], sky[part] = _see(land, origin, rays, mirrors=True)
    shape = (size, SUPERSAMPLE, size, SUPERSAMPLE)
    picture = light.reshape(3, *shape).mean(axis=(2, 4)).transpose(1, 2, 0)
    return Rendering(picture, {"sky": sky.reshape(shape).mean(axis=(1, 3))})


def _see(land: Land, origin: Floats, direction: Floats, mirrors: bool) -> tuple[Floats, Floats]:
    """The light that comes along each ray, and 1 where it is the sky's."""
    distance = _march(land, origin, direction)
    land_hit = np.isfinite(distance)
    water_hit = np.zeros(land_hit.shape, dtype=bool)
    if land.water is not None and mirrors:
        level = -origin[1] / np.where(direction[1] < -1e-9, direction[1], -1e-9)
        water_hit = (direction[1] < -1e-9) & (level < distance)
        distance = np.where(water_hit, level, distance)
        land_hit &= ~water_hit
    light = land.sky(direction)
    chosen = np.flatnonzero(land_hit)
    if chosen.size:
        point = origin[:, chosen] + distance[chosen] * direction[:, chosen]
        light[:, chosen] = _lit_ground(land, point)
    chosen = np.flatnonzero(water_hit)
    if chosen.size and land.water is not None:
        point = origin[:, chosen] + distance[chosen] * direction[:, chosen]
        light[:, chosen] = _water(land, land.water, point, direction[:, chosen])
    solid = np.flatnonzero(land_hit | water_hit)
    clear = np.exp(-land.haze * distance[solid])
    light[:, solid] = light[:, solid] * clear + np.asarray(land.haze_rgb)[:, None] * (1.0 - clear)
    return light, (~(land_hit | water_hit)).astype(np.float64)


def _lit_ground(land: Land, point: Floats) -> Floats:
    colour, normal = land.ground(point, land.field.normal(point[0], point[2]))
    sun = unit(np.asarray(land.sun_from, dtype=np.float64)[:, None])
    direct = np.maximum((normal * sun).sum(axis=0), 0.0) * _sunlit(land, point, sun)
    open_sky = 0.35 + 0.65 * np.clip(normal[1], 0.0, 1.0)
    arriving = direct * np.asarray(land.sun_rgb)[:, None]
    return np.asarray(colour * (arriving + open_sky * np.asarray(land.ambient_rgb)[:, None]))


def _water(
    land: Land, ripples: Callable[[Floats], Floats], point: Floats, direction: Floats
) -> Floats:
    """Mirror image of land and sky over the water's own dark colour."""
    up = np.array([0.0, 1.0, 0.0])[:, None]
    normal = unit(up + ripples(point))
    cosine = np.clip(-(normal * direction).sum(axis=0), 0.02, 1.0)
    mirrored = direction + 2.0 * cosine * normal
    mirrored[1] = np.abs(mirrored[1]) + 1e-3
    seen, _ = _see(land, point + 1e-4 * up, unit(mirrored), mirrors=False)
    share = 0.02 + 0.98 * (1.0 - cosine) ** 5
    depth = np.asarray((0.010, 0.035, 0.042))[:, None]
    return np.asarray(seen * share + depth * (1.0 - share))


def _march(land: Land, origin: Floats, direction: Floats) -> Floats:
    """Distance to the ground along each ray, infinity where it reaches the sky."""
    near, far = land.reach
    ratio = (far / near) ** (1.0 / STEPS)
    top = float(land.field.heights.max())
    count = origin.shape[1]
    distance = np.full(count, np.inf)
    rows = np.arange(count)
    t = near
    before_gap, before_t = np.full(count, np.inf), 0.0
    for _ in range(STEPS):
        x, y, z = origin[:, rows] + t * direction[:, rows]
        gap = y - land.field.at(x, z)
        under = gap < 0.0
        if under.any():
            above = np.minimum(before_gap[under], 1e6)
            share = above / np.maximum(above - gap[under], 1e-12)
            distance[rows[under]] = before_t + share * (t - before_t)
        keep = ~under & ~((y > top) & (direction[1, rows] >= 0.0))
        rows, before_gap = rows[keep], gap[keep]
        before_t, t = t, t * ratio
        if not rows.size:
            break
    return distance


def _sunlit(land: Land, point: Floats, sun: Floats) -> Floats:
    """1 where the sun is seen, 0 in shadow, in between at the shadow's edge."""
    near, far = land.reach
    step = 0.002 * (far - near)
    clear = np.ones(point.shape[1])
    for index in range(1, SHADOW_STEPS + 1):
        away = step * (0.15 * index + 0.02 * index * index)
        x, y, z = point + away * sun
        gap = y - land.field.at(x, z)
        clear = np.minimum(clear, np.clip(0.5 + 22.0 * gap / away, 0.0, 1.0))
    return clear


def _bilinear(grid: Floats, row: Floats, column: Floats) -> Floats:
    width = grid.shape[1]
    r, c = row.astype(np.int64), column.astype(np.int64)
    fr, fc = row - r, column - c
    flat: npt.NDArray[np.float64] = grid.ravel()
    index = r * width + c
    low = flat.take(index) * (1.0 - fc) + flat.take(index + 1) * fc
    high = flat.take(index + width) * (1.0 - fc) + flat.take(index + width + 1) * fc
    return np.asarray(low * (1.0 - fr) + high * fr)
