"""Sand dunes."""

from __future__ import annotations

import numpy as np

from sample_dataset.maker.draws import Floats, uniform
from sample_dataset.maker.filters import gaussian
from sample_dataset.maker.materials import blend
from sample_dataset.maker.noise import fbm, smoothstep
from sample_dataset.maker.scene import Rendering
from sample_dataset.maker.scenes.light import day_sky
from sample_dataset.maker.shapes import unit
from sample_dataset.maker.terrain import GRID, HeightField, Land, render_land, square_grid


def dunes(key: str, size: int) -> Rendering:
    """Sand dunes in a low sun."""
    pick = uniform(f"dunes/{key}", 4)
    side, left, near = 400.0, -200.0, 0.0
    x, z = square_grid(side, left, near)
    warp = 26.0 * (fbm(x * 0.011 + 20.0 * pick[0], z * 0.011, octaves=3) - 0.5)
    phase = (z * 0.9 + 0.45 * x + 3.2 * warp) / 62.0
    saw = phase - np.floor(phase)
    crest = np.where(saw < 0.72, saw / 0.72, (1.0 - saw) / 0.28)
    swell = fbm(x * 0.012 + 7.0, z * 0.012 + 9.0 * pick[1], octaves=4)
    height = 17.0 * (crest**1.5) * (0.25 + 1.1 * swell) + 26.0 * (swell - 0.45) - 4.0
    height = gaussian(height * (0.35 + 0.65 * smoothstep(0.0, 60.0, z)), 1.3)
    eye_y = float(height[0, GRID // 2]) + 6.5
    land = Land(
        field=HeightField(height, left, near, side),
        eye=(0.0, eye_y, 0.5),
        pitch_degrees=-3.5,
        fov_degrees=42.0,
        sun_from=(-1.0, 0.34, 0.30),
        sun_rgb=(2.5, 1.95, 1.25),
        ambient_rgb=(0.20, 0.24, 0.34),
        sky=day_sky((0.10, 0.26, 0.66), (0.72, 0.74, 0.76), 0.3, 5.0 * pick[2]),
        ground=_sand,
        haze_rgb=(0.80, 0.72, 0.62),
        haze=0.0022,
        reach=(3.0, 390.0),
    )
    return render_land(land, size)


def _sand(point: Floats, normal: Floats) -> tuple[Floats, Floats]:
    x, _, z = point
    bend = 5.0 * fbm(x * 0.09, z * 0.09, octaves=3)
    distance = np.hypot(x, z)
    fade = 1.0 / (1.0 + (distance / 70.0) ** 2)
    wave = np.cos(2.0 * np.pi * (z * 0.55 + 0.16 * x + bend))
    flat = smoothstep(0.78, 0.97, normal[1])
    normal = unit(normal + (0.30 * fade * flat * wave) * np.array([0.15, 0.0, 1.0])[:, None])
    grain = fbm(x * 5.0, z * 5.0, octaves=3)
    tone = fbm(x * 0.05, z * 0.05, octaves=3)
    return blend((0.50, 0.30, 0.15), (0.72, 0.50, 0.29), tone) * (0.86 + 0.28 * grain), normal
