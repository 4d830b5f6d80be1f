"""Columns, sun and a chequered floor."""

from __future__ import annotations

from sample_dataset.maker.draws import uniform
from sample_dataset.maker.lathe import Lathe
from sample_dataset.maker.materials import Colour, ground_cover, plain, stone, tiles, wood
from sample_dataset.maker.scene import Material, Scene, Thing
from sample_dataset.maker.scenes.light import day_sky
from sample_dataset.maker.scenes.props import pot
from sample_dataset.maker.shapes import Box, Ground, Point


def colonnade(key: str) -> Scene:
    """Columns along a chequered floor, with the sun falling between them."""
    pick = uniform(f"colonnade/{key}", 12)
    marble = Material(stone((0.74, 0.69, 0.60), 1.5), 0.02, 0.2)
    floors: tuple[tuple[Colour, Colour], ...] = (
        ((0.62, 0.58, 0.50), (0.20, 0.09, 0.07)),
        ((0.60, 0.59, 0.56), (0.07, 0.08, 0.09)),
    )
    one, two = floors[int(2 * pick[0])]
    things = [
        Thing(Ground(0.0), Material(tiles(one, two, 0.62), 0.045, 0.012)),
        Thing(Box((2.6, 2.0, -6.0), (0.3, 3.0, 14.0)), Material(stone((0.66, 0.50, 0.34), 1.0))),
        Thing(Box((0.4, 4.35, -6.0), (2.6, 0.35, 14.0)), Material(stone((0.55, 0.48, 0.40), 1.0))),
        Thing(Box((0.4, 2.0, -19.0), (3.0, 3.0, 0.3)), Material(stone((0.58, 0.47, 0.36), 1.0))),
        Thing(
            Box((0.45, 1.2, -18.7), (0.7, 1.25, 0.1)),
            Material(wood((0.05, 0.03, 0.02), (0.16, 0.09, 0.05), 0.3)),
        ),
        Thing(
            Box((-9.0, 0.5, -6.0), (2.5, 0.9, 16.0)),
            Material(ground_cover((0.02, 0.06, 0.012), (0.12, 0.20, 0.04), 5.0)),
        ),
    ]
    profile = (
        (0.0, 0.0),
        (0.36, 0.0),
        (0.36, 0.14),
        (0.30, 0.18),
        (0.31, 0.24),
        (0.25, 0.30),
        (0.255, 1.4),
        (0.215, 3.45),
        (0.24, 3.5),
        (0.24, 3.58),
        (0.34, 3.76),
        (0.36, 3.8),
        (0.36, 4.0),
        (0.0, 4.0),
    )
    for index in range(7):
        foot = (-1.35, 0.0, 1.2 - 2.75 * index)
        things.append(Thing(Lathe(foot, profile), marble, f"column {index}"))
    for index in range(3):
        x, z = 1.95, -1.3 - 4.2 * index
        things += _bench((x, 0.0, z)) if index != 1 else pot((x, 0.0, z), pick[3])
    return Scene(
        tuple(things),
        eye=(0.55 + 0.3 * pick[4], 1.55 + 0.2 * pick[5], 4.6),
        target=(0.28, 1.62, -6.0),
        fov_degrees=42.0,
        light_from=(-1.0, 0.85 + 0.2 * pick[6], 0.1 + 0.5 * pick[7]),
        light_rgb=(2.7, 2.45, 2.05),
        ambient=(0.55, 0.50, 0.44),
        light_cone=0.01,
        sky=day_sky((0.22, 0.38, 0.75), (0.70, 0.78, 0.88), 0.3, pick[8]),
    )


def _bench(foot: Point) -> list[Thing]:
    x, y, z = foot
    planks = Material(wood((0.12, 0.06, 0.03), (0.36, 0.21, 0.11), 0.13), 0.03, 0.15)
    iron = Material(plain((0.02, 0.022, 0.02)), 0.04, 0.1)
    things = [Thing(Box((x, y + 0.46, z), (0.24, 0.025, 0.8)), planks, "bench")]
    things.append(Thing(Box((x + 0.24, y + 0.76, z), (0.02, 0.16, 0.8)), planks, "bench"))
    for dz in (-0.65, 0.65):
        things.append(Thing(Box((x, y + 0.22, z + dz), (0.2, 0.22, 0.03)), iron, "bench"))
        things.append(Thing(Box((x + 0.24, y + 0.46, z + dz), (0.02, 0.46, 0.03)), iron, "bench"))
    return things
