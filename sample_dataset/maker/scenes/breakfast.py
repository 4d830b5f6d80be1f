"""A breakfast table: fruit, a mug, a bottle and a bowl."""

from __future__ import annotations

import numpy as np

from sample_dataset.maker.draws import Floats, uniform
from sample_dataset.maker.lathe import Lathe
from sample_dataset.maker.materials import OAK, Colour, Texture, blend, plain, rough, wood
from sample_dataset.maker.noise import fbm, noise, smoothstep
from sample_dataset.maker.scene import Material, Scene, Thing
from sample_dataset.maker.scenes.light import room_light, window
from sample_dataset.maker.shapes import Box, Ellipsoid, Ground, Point


def breakfast(key: str) -> Scene:
    """Fruit, a mug, a bottle and a bowl on a wooden table."""
    pick = uniform(f"breakfast/{key}", 24)
    things = [
        Thing(Ground(), Material(wood(*OAK), 0.04, 0.12)),
        Thing(Box((0.0, 2.0, -2.6), (9.0, 6.0, 0.2)), Material(_wallpaper(pick[0]))),
        Thing(Box((0.0, 0.2, -2.38), (9.0, 0.22, 0.05)), Material(plain((0.7, 0.68, 0.63)))),
    ]
    mug_hue: Colour = ((0.10, 0.24, 0.42), (0.45, 0.09, 0.07), (0.62, 0.60, 0.54))[int(3 * pick[1])]
    things += _mug((1.05 - 0.35 * pick[2], 0.0, -0.35 + 0.4 * pick[3]), mug_hue)
    things += _bottle((-1.25 + 0.3 * pick[4], 0.0, -1.0), pick[5])
    bowl: Point = (-0.25, 0.0, -0.55)
    profile = (
        (0.0, 0.03),
        (0.28, 0.03),
        (0.30, 0.08),
        (0.62, 0.42),
        (0.65, 0.43),
        (0.60, 0.38),
        (0.25, 0.13),
        (0.0, 0.11),
    )
    things.append(
        Thing(Lathe(bowl, profile), Material(plain((0.74, 0.72, 0.66), 0.05), 0.05, 0.03), "bowl")
    )
    for index, (dx, dz, lift) in enumerate(
        ((-0.22, 0.05, 0.36), (0.22, 0.08, 0.37), (0.0, -0.2, 0.40), (0.02, 0.02, 0.70))
    ):
        at = (bowl[0] + dx, lift, bowl[2] + dz)
        things.append(_fruit(at, 0.25, (index + int(4 * pick[6])) % 3, "bowl"))
    things.append(_fruit((0.35 + 0.3 * pick[7], 0.29, 0.65), 0.30, int(3 * pick[8]), "fruit"))
    things.append(
        _fruit(
            (-0.75 - 0.3 * pick[9], 0.27, 0.55 + 0.2 * pick[10]),
            0.28,
            int(3 * pick[11] + 1) % 3,
            "fruit 2",
        )
    )
    return Scene(
        tuple(things),
        eye=(0.5 * pick[12] - 0.2, 1.55 + 0.3 * pick[13], 4.4),
        target=(-0.08, 0.5, -0.3),
        fov_degrees=34.0,
        light_from=(-0.9, 0.95, 0.55),
        light_rgb=(1.9, 1.8, 1.6),
        light_cone=0.16,
        sky=room_light(0.42),
        highlights=window,
        aperture=0.035,
    )


def _fruit(at: Point, radius: float, kind: int, group: str) -> Thing:
    orange, lemon = (0.80, 0.29, 0.025), (0.82, 0.62, 0.07)
    if kind == 0:
        skin = Material(plain(orange, 0.18, 5.0), 0.04, 0.1, bump=rough(0.16, 60.0))
        return Thing(Ellipsoid(at, (radius, radius * 0.95, radius)), skin, group)
    if kind == 1:
        skin = Material(plain(lemon, 0.12, 4.0), 0.04, 0.1, bump=rough(0.12, 45.0))
        return Thing(Ellipsoid(at, (radius * 1.18, radius * 0.85, radius * 0.85)), skin, group)
    base, shape = at[1] - radius * 0.93, []
    for r, y in (
        (0.0, 0.12),
        (0.25, 0.02),
        (0.5, 0.05),
        (0.8, 0.38),
        (0.98, 0.85),
        (1.0, 1.15),
        (0.88, 1.55),
        (0.6, 1.8),
        (0.3, 1.82),
        (0.1, 1.68),
        (0.0, 1.62),
    ):
        shape.append((r * radius, y * radius))
    return Thing(Lathe((at[0], base, at[2]), tuple(shape)), Material(_apple(at), 0.04, 0.06), group)


def _apple(at: Point) -> Texture:
    def texture(point: Floats) -> Floats:
        around = np.arctan2(point[2] - at[2], point[0] - at[0])
        streak = fbm(around * 9.0, point[1] * 2.5, octaves=3)
        blush = smoothstep(0.3, 0.62, 0.5 + 0.35 * np.sin(around + 2.0) + 0.9 * (streak - 0.5))
        speck = smoothstep(0.78, 0.85, noise(point[0] * 70.0, point[1] * 70.0, point[2] * 70.0))
        return blend((0.58, 0.50, 0.10), (0.46, 0.035, 0.025), blush) + 0.12 * speck

    return texture


def _mug(foot: Point, colour: Colour) -> list[Thing]:
    profile = (
        (0.0, 0.02),
        (0.30, 0.02),
        (0.345, 0.07),
        (0.36, 0.78),
        (0.352, 0.80),
        (0.335, 0.78),
        (0.32, 0.12),
        (0.0, 0.09),
    )
    glaze = Material(plain(colour, 0.06), 0.05, 0.02)
    coffee = Material(plain((0.05, 0.022, 0.008)), 0.04, 0.02)
    things = [
        Thing(Lathe(foot, profile), glaze, "mug"),
        Thing(Lathe(foot, ((0.0, 0.66), (0.335, 0.66))), coffee, "mug"),
    ]
    for step in range(25):
        angle = np.pi * (step / 24.0 - 0.5) * 1.15
        at = (
            foot[0] + 0.34 + 0.21 * float(np.cos(angle)),
            0.42 + 0.24 * float(np.sin(angle)),
            foot[2] + 0.02,
        )
        things.append(Thing(Ellipsoid(at, (0.05, 0.05, 0.05)), glaze, "mug"))
    return things


def _bottle(foot: Point, shade: float) -> list[Thing]:
    profile = (
        (0.0, 0.0),
        (0.26, 0.0),
        (0.28, 0.04),
        (0.28, 0.85),
        (0.24, 1.02),
        (0.11, 1.22),
        (0.095, 1.5),
        (0.115, 1.51),
        (0.115, 1.58),
        (0.0, 1.58),
    )
    glass = Material(_label(foot, shade), 0.06, 0.01)
    return [Thing(Lathe(foot, profile), glass, "bottle")]


def _label(foot: Point, shade: float) -> Texture:
    def texture(point: Floats) -> Floats:
        around = np.arctan2(point[0] - foot[0], point[2] - foot[2])
        y = point[1]
        paper = (y > 0.3) & (y < 0.74) & (np.abs(around) < 1.15)
        rule = (np.abs(y - 0.70) < 0.008) | (np.abs(y - 0.34) < 0.008)
        big = (
            (np.abs(y - 0.57) < 0.045)
            & (noise(around * 14.0, np.floor(y * 9.0)) > 0.5)
            & (np.abs(around) < 0.7)
        )
        small = (
            (np.mod(y * 26.0, 1.0) < 0.4)
            & (y > 0.38)
            & (y < 0.49)
            & (noise(around * 40.0, np.floor(y * 26.0)) > 0.4)
            & (np.abs(around) < 0.8)
        )
        glass = blend((0.012, 0.035, 0.014), (0.03, 0.012, 0.006), np.full(y.shape, shade))
        ink = blend((0.75, 0.70, 0.56), (0.16, 0.04, 0.03), (big | small | rule).astype(np.float64))
        return np.where(paper, ink, glass)

    return texture


def _wallpaper(pick: float) -> Texture:
    def texture(point: Floats) -> Floats:
        stripe = smoothstep(0.45, 0.5, np.abs(np.mod(point[0] * 1.6, 1.0) - 0.5) * 2.0)
        leaf = fbm(point[0] * 2.2, point[1] * 2.2, octaves=2)
        leaf = smoothstep(0.02, 0.035, np.abs(leaf - 0.5))
        low, high = (
            ((0.36, 0.42, 0.36), (0.45, 0.50, 0.42))
            if pick < 0.5
            else ((0.50, 0.42, 0.33), (0.57, 0.50, 0.40))
        )
        grain = 0.94 + 0.12 * noise(point[0] * 60.0, point[1] * 60.0)
        return blend(low, high, 0.6 * stripe + 0.4 * leaf) * grain

    return texture
