"""The front of a brick house."""

from __future__ import annotations

import numpy as np

from sample_dataset.maker.draws import Floats, uniform
from sample_dataset.maker.lathe import Lathe
from sample_dataset.maker.materials import (
    Colour,
    Texture,
    bricks,
    ground_cover,
    plain,
    rough,
    stone,
    tiles,
)
from sample_dataset.maker.noise import noise
from sample_dataset.maker.scene import Material, Scene, Thing
from sample_dataset.maker.scenes.light import day_sky
from sample_dataset.maker.scenes.props import pot
from sample_dataset.maker.shapes import Box, Ellipsoid, Ground, Point


def house(key: str) -> Scene:
    """The front of a brick house: windows, a door, a lamp and a tree's shadow."""
    pick = uniform(f"house/{key}", 30)
    paint: Colour = ((0.05, 0.14, 0.12), (0.30, 0.04, 0.035), (0.05, 0.08, 0.20))[int(3 * pick[0])]
    things = [
        Thing(Box((0.0, 3.0, -0.5), (9.0, 3.4, 0.5)), Material(bricks(0), bump=rough(0.18, 40.0))),
        Thing(Ground(0.0), Material(_pavement)),
        Thing(Box((0.0, 0.18, 0.02), (9.0, 0.18, 0.05)), Material(stone((0.45, 0.42, 0.38), 2.0))),
    ]
    door_x = -1.55 + 0.3 * pick[1]
    things += _door(door_x, paint)
    for index, x in enumerate((0.15 + 0.2 * pick[2], 1.95 + 0.2 * pick[2])):
        things += _window((x, 1.45, 0.0), (0.52, 0.68), f"window {index}", pick[3 + index])
    for index, x in enumerate((door_x, 0.15 + 0.2 * pick[2], 1.95 + 0.2 * pick[2])):
        things += _window((x, 3.35, 0.0), (0.48, 0.60), f"upper {index}", pick[6 + index])
    things += _lamp((door_x + 0.85, 1.95, 0.0))
    things += pot((door_x + 0.95, 0.0, 0.45), pick[10])
    for index in range(26):
        spot = uniform(f"house/{key}/leaf {index}", 4)
        at = (-5.6 + 2.6 * spot[0] + 0.8 * pick[11], 5.0 + 2.6 * spot[1], 4.2 + 1.2 * spot[2])
        size = 0.16 + 0.34 * spot[3]
        leaf = Material(plain((0.08, 0.16, 0.03)))
        things.append(Thing(Ellipsoid(at, (size, size * 0.7, size)), leaf, "tree"))
    return Scene(
        tuple(things),
        eye=(1.2 + 0.8 * pick[12], 1.75, 6.9),
        target=(0.1 + 0.3 * pick[13], 1.85, 0.0),
        fov_degrees=35.0,
        light_from=(-0.75, 0.9, 0.75),
        light_rgb=(2.3, 2.1, 1.8),
        light_cone=0.012,
        sky=day_sky((0.20, 0.36, 0.72), (0.62, 0.72, 0.85), 0.4, pick[14]),
    )


def _pavement(point: Floats) -> Floats:
    slabs = tiles((0.33, 0.32, 0.30), (0.38, 0.36, 0.33), 0.75)(point)
    road = ground_cover((0.06, 0.06, 0.065), (0.14, 0.14, 0.14), 30.0)(point)
    return np.where(point[2] < 2.0, slabs, road)


def _door(x: float, paint: Colour) -> list[Thing]:
    white = Material(plain((0.70, 0.69, 0.65), 0.08), 0.03, 0.1)
    leaf = Material(plain(paint, 0.15), 0.04, 0.06)
    step = Material(stone((0.50, 0.48, 0.44), 2.0))
    things = [
        Thing(Box((x, 1.28, 0.0), (0.60, 1.12, 0.05)), white, "door"),
        Thing(Box((x, 1.20, 0.02), (0.48, 0.98, 0.05)), leaf, "door"),
        Thing(
            Box((x, 2.27, 0.03), (0.42, 0.07, 0.04)),
            Material(plain((0.05, 0.06, 0.07)), 0.10, 0.01),
            "door",
        ),
        Thing(
            Ellipsoid((x + 0.36, 1.12, 0.12), (0.035, 0.035, 0.035)),
            Material(plain((0.75, 0.55, 0.22)), metal=True, roughness=0.1),
            "door",
        ),
        Thing(Box((x, 0.10, 0.35), (0.75, 0.10, 0.35)), step, "step"),
        Thing(Box((x, 2.46, 0.12), (0.78, 0.05, 0.22)), white, "door"),
    ]
    for dx in (-0.23, 0.23):
        for y, tall in ((0.62, 0.26), (1.55, 0.46)):
            things.append(Thing(Box((x + dx, y, 0.065), (0.17, tall, 0.02)), leaf, "door"))
    return things


def _window(at: Point, half: tuple[float, float], group: str, pick: float) -> list[Thing]:
    x, y, z = at
    white = Material(plain((0.72, 0.71, 0.68), 0.08), 0.03, 0.1)
    glass = Material(_curtains(x, pick), 0.14, 0.004)
    sill = Material(stone((0.52, 0.50, 0.46), 2.0))
    wide, tall = half
    things = [
        Thing(Box((x, y, z), (wide, tall, 0.012)), glass, group),
        Thing(Box((x, y - tall - 0.06, z + 0.08), (wide + 0.12, 0.05, 0.12)), sill, group),
        Thing(Box((x, y + tall + 0.11, z), (wide + 0.12, 0.10, 0.02)), sill, group),
    ]
    for dx in (-wide, 0.0, wide):
        things.append(Thing(Box((x + dx, y, z + 0.02), (0.035, tall, 0.03)), white, group))
    for dy in (-tall, 0.12, tall):
        things.append(Thing(Box((x, y + dy, z + 0.02), (wide + 0.035, 0.035, 0.03)), white, group))
    return things


def _curtains(x: float, pick: float) -> Texture:
    drawn = 0.22 + 0.2 * pick

    def texture(point: Floats) -> Floats:
        fold = 0.6 + 0.4 * np.sin(point[0] * 70.0 + 3.0 * noise(point[0] * 5.0, point[1] * 2.0))
        cloth = np.asarray((0.42, 0.40, 0.36))[:, None] * fold
        room = np.asarray((0.03, 0.03, 0.035))[:, None] * (
            0.6 + noise(point[0] * 4.0, point[1] * 4.0)
        )
        return np.where(np.abs(point[0] - x) > 0.52 - drawn, cloth, room)

    return texture


def _lamp(at: Point) -> list[Thing]:
    iron = Material(plain((0.02, 0.02, 0.022)), 0.04, 0.1)
    x, y, z = at
    return [
        Thing(Box((x, y + 0.12, z + 0.10), (0.02, 0.02, 0.12)), iron, "lamp"),
        Thing(
            Lathe((x, y - 0.2, z + 0.22), ((0.0, 0.0), (0.06, 0.0), (0.10, 0.26))),
            Material(plain((0.75, 0.66, 0.45)), 0.05, 0.02, glow=0.25),
            "lamp",
        ),
        Thing(
            Lathe((x, y + 0.06, z + 0.22), ((0.13, 0.0), (0.10, 0.05), (0.03, 0.12), (0.0, 0.15))),
            iron,
            "lamp",
        ),
    ]
