"""Mountains behind a lake."""

from __future__ import annotations

import numpy as np

from sample_dataset.maker.draws import Floats, uniform
from sample_dataset.maker.filters import gaussian
from sample_dataset.maker.materials import blend
from sample_dataset.maker.noise import fbm, noise, smoothstep
from sample_dataset.maker.scene import Rendering
from sample_dataset.maker.scenes.light import day_sky
from sample_dataset.maker.shapes import unit
from sample_dataset.maker.terrain import HeightField, Land, render_land, square_grid


def mountain_lake(key: str, size: int) -> Rendering:
    """Snowy mountains behind a lake, woods on their feet."""
    pick = uniform(f"lake/{key}", 4)
    shift = 40.0 * pick[0]
    side, left, near = 24.0, -12.0, 0.0
    x, z = square_grid(side, left, near)
    ridge = 1.0 - np.abs(2.0 * fbm(x * 0.32 + shift, z * 0.32, octaves=6, gain=0.42) - 1.0)
    bulk = fbm(x * 0.16 + shift + 9.0, z * 0.16, octaves=3)
    rise = smoothstep(4.5, 13.0, z + 1.6 * np.abs(x) * (0.4 + bulk))
    height = -0.12 + rise * (0.55 + 3.4 * ridge**1.8 * (0.35 + bulk))
    shore = smoothstep(3.2, 5.0, z + 0.9 * np.abs(x + 1.5 - 2.0 * pick[1]) + 0.8 * (bulk - 0.5))
    height = gaussian(height + 0.22 * shore * fbm(x * 1.3, z * 1.3 + shift, octaves=4), 1.1)
    land = Land(
        field=HeightField(height, left, near, side),
        eye=(0.0, 0.10, 0.05),
        pitch_degrees=5.5,
        fov_degrees=40.0,
        sun_from=(-0.85, 0.62, -0.35),
        sun_rgb=(2.0, 1.8, 1.45),
        ambient_rgb=(0.30, 0.36, 0.46),
        sky=day_sky((0.16, 0.32, 0.70), (0.62, 0.74, 0.90), 0.75, 3.0 * pick[2]),
        ground=_alpine,
        haze_rgb=(0.55, 0.66, 0.82),
        haze=0.028,
        reach=(0.12, 23.0),
        water=_ripples,
    )
    return render_land(land, size)


def _alpine(point: Floats, normal: Floats) -> tuple[Floats, Floats]:
    x, y, z = point
    detail = fbm(x * 6.0, z * 6.0, y * 6.0, octaves=4)
    normal = unit(
        normal
        + 0.35 * np.stack([detail - 0.5, np.zeros_like(x), fbm(z * 6.0, x * 6.0, octaves=3) - 0.5])
    )
    rock = blend((0.13, 0.12, 0.12), (0.36, 0.33, 0.30), detail)
    snow = smoothstep(1.15, 1.65, y + 0.9 * (detail - 0.5)) * smoothstep(0.50, 0.68, normal[1])
    speck = noise(x * 28.0, z * 28.0, y * 20.0)
    trees = blend((0.012, 0.028, 0.012), (0.05, 0.085, 0.03), np.clip(1.3 * speck - 0.1, 0.0, 1.0))
    wood = smoothstep(0.95, 0.60, y + 0.7 * (detail - 0.5)) * smoothstep(0.45, 0.62, normal[1])
    meadow = smoothstep(0.16, 0.05, y + 0.12 * (detail - 0.5))
    colour = rock * (1.0 - wood) + trees * wood
    colour = (
        colour * (1.0 - meadow) + blend((0.10, 0.13, 0.04), (0.22, 0.22, 0.09), detail) * meadow
    )
    return colour * (1.0 - snow) + np.asarray((0.86, 0.88, 0.93))[:, None] * snow, normal


def _ripples(point: Floats) -> Floats:
    x, z = point[0], point[2]
    wave = fbm(x * 9.0, z * 26.0, octaves=3) - 0.5
    wind = smoothstep(0.40, 0.62, fbm(x * 0.9, z * 1.6, 4.0, octaves=3))
    strength = 0.010 + 0.05 * wind
    other = fbm(z * 22.0, x * 8.0, octaves=2) - 0.5
    return np.stack([0.5 * strength * other, np.zeros_like(x), strength * wave])
