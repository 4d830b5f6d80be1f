"""A city in the haze of an evening."""

from __future__ import annotations

import numpy as np

from sample_dataset.maker.draws import Floats, uniform
from sample_dataset.maker.materials import Colour, Texture, blend, plain
from sample_dataset.maker.noise import fbm, noise
from sample_dataset.maker.scene import Material, Scene, Thing
from sample_dataset.maker.scenes.light import day_sky
from sample_dataset.maker.shapes import Box, Ground


def city(key: str) -> Scene:
    """Blocks of flats in the haze of an evening."""
    pick = uniform(f"city/{key}", (90, 6))
    things = [Thing(Ground(0.0), Material(plain((0.09, 0.09, 0.10), 0.3, 0.2)))]
    index = 0
    for row in range(7):
        z = -6.0 - 7.5 * row
        width = 9 + 2 * row
        for column in range(-(width // 2), width // 2 + 1):
            seed = pick[index % 90]
            index += 1
            if abs(column) > 3 + row:
                continue
            high = (2.2 + 4.5 * seed[0] ** 2 + 0.75 * row) * (0.7 + 0.6 * (seed[1] > 0.75))
            x = 2.9 * column + 0.9 * (seed[2] - 0.5)
            half = 0.85 + 0.4 * seed[3]
            wall = Material(_flats(seed, float(index)), 0.03 * (seed[4] > 0.6), 0.02)
            group = f"row {row}"
            things.append(Thing(Box((x, high / 2.0, z), (half, high / 2.0, half)), wall, group))
            top = Material(plain((0.22, 0.20, 0.19), 0.3))
            things.append(
                Thing(
                    Box((x + 0.3 * half, high + 0.12, z), (0.35 * half, 0.18, 0.3 * half)),
                    top,
                    group,
                )
            )
            if seed[5] > 0.6:
                things.append(
                    Thing(Box((x - 0.4 * half, high + 0.5, z), (0.02, 0.5, 0.02)), top, group)
                )
    return Scene(
        tuple(things),
        eye=(3.0 * (pick[0, 0] - 0.5), 6.2, 9.0),
        target=(0.0, 3.4, -12.0),
        fov_degrees=38.0,
        light_from=(-1.0, 0.42, 0.35),
        light_rgb=(2.6, 1.75, 1.0),
        light_cone=0.012,
        sky=day_sky((0.22, 0.33, 0.58), (1.05, 0.80, 0.60), 0.5, 4.0 * pick[1, 1]),
        fog=0.010,
        fog_rgb=(0.74, 0.60, 0.54),
    )


def _flats(seed: Floats, shift: float) -> Texture:
    walls: tuple[Colour, ...] = (
        (0.42, 0.36, 0.30),
        (0.30, 0.31, 0.33),
        (0.36, 0.22, 0.16),
        (0.50, 0.46, 0.40),
        (0.22, 0.25, 0.29),
    )
    wall = walls[int(5 * seed[4])]
    wide, tall = 0.19 + 0.12 * seed[5], 0.26 + 0.1 * seed[2]

    def texture(point: Floats) -> Floats:
        along = point[0] + point[2] + shift * 0.37
        u, v = along / wide, point[1] / tall
        cu, cv = np.floor(u), np.floor(v)
        pane = (np.abs(u - cu - 0.5) < 0.29) & (np.abs(v - cv - 0.5) < 0.30)
        value = noise(cu * 3.7 + shift, cv * 5.1)
        room = np.where(value > 0.8, 1.0, 0.0)
        glass = blend((0.05, 0.065, 0.085), (1.5, 1.0, 0.45), room) * (0.6 + 0.8 * value)
        stain = 0.75 + 0.5 * fbm(along * 1.5, point[1] * 0.8, shift, octaves=3)
        return np.where(pane, glass, np.asarray(wall)[:, None] * stain)

    return texture
