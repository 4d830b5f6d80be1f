"""The sea at sunset."""

from __future__ import annotations

import numpy as np

from sample_dataset.maker.draws import Floats, uniform
from sample_dataset.maker.materials import Texture, blend
from sample_dataset.maker.noise import fbm, smoothstep
from sample_dataset.maker.scene import Rendering
from sample_dataset.maker.shapes import Point, unit
from sample_dataset.maker.terrain import HeightField, Land, render_land, square_grid


def shore(key: str, size: int) -> Rendering:
    """The sea at sunset, with rocks in the water and a headland."""
    pick = uniform(f"shore/{key}", 6)
    side, left, near = 300.0, -150.0, 0.0
    x, z = square_grid(side, left, near)
    rough = fbm(x * 0.09 + 30.0 * pick[0], z * 0.09, octaves=6)
    head = smoothstep(
        0.0, 1.0, (x * 0.9 - 34.0 + 18.0 * (fbm(z * 0.03, x * 0.02, octaves=3) - 0.5)) / 26.0
    )
    head *= smoothstep(60.0, 95.0, z)
    crag = fbm(x * 0.42, z * 0.42, 3.0, octaves=5, gain=0.55)
    height = -2.5 + head * (9.0 + 16.0 * rough + 7.0 * crag) + 1.5 * rough
    for index in range(7):
        a, b, c = uniform(f"shore/{key}/rock {index}", 3)
        at_x, at_z, wide = -16.0 + 30.0 * a, 16.0 + 46.0 * b, 1.2 + 3.2 * c
        bump = np.exp(-(((x - at_x) / wide) ** 2 + ((z - at_z) / (0.8 * wide)) ** 2))
        height += bump * (2.4 + 2.2 * c) * (0.2 + 0.7 * rough + 1.1 * crag)
    sun = (-0.20 + 0.15 * pick[1], 0.115, 1.0)
    land = Land(
        field=HeightField(height, left, near, side),
        eye=(0.0, 3.4, 0.5),
        pitch_degrees=-2.0,
        fov_degrees=42.0,
        sun_from=sun,
        sun_rgb=(1.5, 0.75, 0.34),
        ambient_rgb=(0.22, 0.20, 0.24),
        sky=_sunset(sun, 6.0 * pick[2]),
        ground=_rock,
        haze_rgb=(0.75, 0.48, 0.36),
        haze=0.0026,
        reach=(2.0, 295.0),
        water=_waves,
    )
    return render_land(land, size)


def _rock(point: Floats, normal: Floats) -> tuple[Floats, Floats]:
    x, y, z = point
    detail = fbm(x * 0.9, z * 0.9, y * 0.9, octaves=5)
    shake = np.stack(
        [detail - 0.5, 0.3 * (detail - 0.5), fbm(z * 0.9, y * 0.9, x * 0.9, octaves=4) - 0.5]
    )
    wet = smoothstep(0.9, 0.2, y)
    grass = smoothstep(9.0, 13.0, y + 4.0 * (detail - 0.5))
    colour = blend((0.07, 0.055, 0.05), (0.30, 0.25, 0.21), detail) * (1.0 - 0.6 * wet)
    colour = colour * (1.0 - grass) + blend((0.04, 0.05, 0.02), (0.13, 0.13, 0.05), detail) * grass
    return colour, unit(normal + 1.4 * shake)


def _waves(point: Floats) -> Floats:
    x, z = point[0], point[2]
    swell = np.cos(0.55 * z + 0.12 * x + 5.0 * fbm(x * 0.06, z * 0.08, octaves=2))
    chop_z = fbm(x * 0.55, z * 1.5, octaves=4) - 0.5
    chop_x = fbm(z * 1.1 + 40.0, x * 0.7, octaves=4) - 0.5
    return np.stack([0.28 * chop_x, np.zeros_like(x), 0.34 * chop_z + 0.035 * swell])


def _sunset(sun: Point, turn: float) -> Texture:
    towards = unit(np.asarray(sun)[:, None])

    def sky(direction: Floats) -> Floats:
        up = np.clip(direction[1], 0.0, 1.0)
        near_sun = np.clip((direction * towards).sum(axis=0), 0.0, 1.0)
        base = blend((1.0, 0.52, 0.28), (0.16, 0.22, 0.44), up**0.45)
        base = base * (0.45 + 0.75 * near_sun[None] ** 3)
        glow = np.asarray((1.6, 0.85, 0.35))[:, None] * near_sun**60
        disc = np.asarray((9.0, 6.0, 3.0))[:, None] * smoothstep(0.99955, 0.9997, near_sun)
        reach = 1.0 / (up + 0.05)
        bands = fbm(direction[0] * reach * 0.5 + turn, direction[2] * reach * 1.2, turn, octaves=5)
        cover = smoothstep(0.50, 0.72, bands) * smoothstep(0.01, 0.10, up)
        lit = np.asarray((0.95, 0.42, 0.30))[:, None] * (0.30 + 0.9 * near_sun**4)
        return np.asarray((base + glow + disc) * (1.0 - 0.85 * cover) + 0.85 * cover * lit)

    return sky
