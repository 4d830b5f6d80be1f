"""A pool table under lamps."""

from __future__ import annotations

import numpy as np

from sample_dataset.maker.draws import Floats, uniform
from sample_dataset.maker.materials import WALNUT, Colour, Texture, blend, plain, wood
from sample_dataset.maker.noise import fbm, noise, smoothstep
from sample_dataset.maker.scene import Material, Scene, Thing
from sample_dataset.maker.shapes import Box, Ellipsoid, Ground, Point


def pool_table(key: str) -> Scene:
    """Balls on green cloth under a lamp."""
    pick = uniform(f"pool/{key}", (12, 4))
    cloth = Material(_cloth)
    things = [
        Thing(Ground(), cloth),
        Thing(Box((0.0, 0.06, -3.0), (9.0, 0.16, 0.22)), Material(_cloth)),
        Thing(
            Box((0.0, 0.10, -3.75), (9.0, 0.24, 0.55)),
            Material(wood(*WALNUT, plank=2.0), 0.05, 0.05),
        ),
        Thing(
            Box((0.0, 3.0, -8.0), (14.0, 6.0, 0.2)), Material(plain((0.20, 0.13, 0.09), 0.4, 0.7))
        ),
    ]
    spots = (
        (-0.9, 0.6),
        (0.25, 0.95),
        (1.15, 0.1),
        (-0.15, -0.35),
        (0.75, -1.3),
        (-1.5, -0.9),
        (-0.6, -1.9),
        (1.9, -1.9),
    )
    hues: tuple[Colour, ...] = (
        (0.80, 0.77, 0.66),
        (0.62, 0.40, 0.03),
        (0.04, 0.09, 0.40),
        (0.52, 0.03, 0.03),
        (0.16, 0.05, 0.26),
        (0.60, 0.17, 0.02),
        (0.02, 0.20, 0.07),
        (0.012, 0.012, 0.014),
    )
    shift = int(8 * pick[10, 0])
    for index, (x, z) in enumerate(spots):
        centre = (x + 0.5 * (pick[index, 0] - 0.5), 0.34, z + 0.5 * (pick[index, 1] - 0.5))
        hue = (index + shift) % 8
        skin = _ball(centre, hues[hue], pick[index], striped=index % 3 == 1, cue=hue == 0)
        things.append(
            Thing(
                Ellipsoid(centre, (0.34, 0.34, 0.34)), Material(skin, 0.045, 0.006), f"ball {index}"
            )
        )
    return Scene(
        tuple(things),
        eye=(0.25, 2.05, 4.6),
        target=(0.1, 0.25, -0.6),
        fov_degrees=36.0,
        light_from=(-0.25, 1.0, -0.1),
        light_rgb=(2.2, 2.05, 1.75),
        light_cone=0.3,
        sky=_parlour,
        highlights=_lamps,
        aperture=0.05,
        focus=4.4,
    )


def _cloth(point: Floats) -> Floats:
    thread = (
        noise(point[0] * 70.0, point[2] * 70.0)
        - 0.5
        + noise(point[0] * 22.0, point[2] * 95.0)
        - 0.5
    )
    wear = fbm(point[0] * 0.8, point[2] * 0.8, octaves=4)
    chalk = smoothstep(0.66, 0.76, fbm(point[0] * 1.7, point[2] * 1.7, 5.0, octaves=4))
    return (
        blend((0.012, 0.13, 0.065), (0.03, 0.21, 0.11), wear) * (1.0 + 0.5 * thread) + 0.03 * chalk
    )


def _ball(centre: Point, colour: Colour, pick: Floats, *, striped: bool, cue: bool) -> Texture:
    tilt, turn = 1.2 * (pick[2] - 0.5), 1.4 * (pick[3] - 0.5)
    axis = np.array([np.sin(turn), np.cos(turn) * np.sin(tilt), np.cos(turn) * np.cos(tilt)])

    def texture(point: Floats) -> Floats:
        p = (point - np.asarray(centre)[:, None]) / 0.34
        facing = axis @ p
        x, y = p[0] - axis[0] * facing, p[1] - axis[1] * facing
        white = np.asarray((0.78, 0.75, 0.66))[:, None]
        skin = np.repeat(np.asarray(colour)[:, None], p.shape[1], axis=1)
        if cue:
            return skin
        if striped:
            skin = np.where(np.abs(p[1] * np.cos(tilt) - p[2] * np.sin(tilt)) < 0.52, skin, white)
        disc = np.abs(facing) > 0.91
        bar = (np.abs(x) < 0.05) & (np.abs(y) < 0.2)
        hook = (
            (np.abs(np.hypot(x - 0.02, y - 0.1) - 0.11) < 0.04)
            if pick[0] > 0.5
            else (np.abs(y + 0.16) < 0.04) & (np.abs(x) < 0.12)
        )
        return np.where(disc, np.where(bar | hook, 0.03, white), skin)

    return texture


def _parlour(direction: Floats) -> Floats:
    return np.asarray(
        np.asarray((1.0, 0.86, 0.66))[:, None] * (0.12 + 0.16 * np.clip(direction[1], 0.0, 1.0))
    )


def _lamps(direction: Floats) -> Floats:
    up = np.maximum(direction[1], 0.05)
    x, z = direction[0] / up, direction[2] / up
    shade = (np.abs(z) < 0.16) & (np.abs(np.mod(x + 0.45, 0.9) - 0.45) < 0.3) & (np.abs(x) < 1.3)
    return np.asarray(np.asarray((7.0, 6.0, 4.6))[:, None] * (shade & (direction[1] > 0.1)))
