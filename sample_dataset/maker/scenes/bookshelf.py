"""A bookshelf with ornaments."""

from __future__ import annotations

import numpy as np

from sample_dataset.maker.draws import Floats, uniform
from sample_dataset.maker.lathe import Lathe
from sample_dataset.maker.materials import WALNUT, Colour, Texture, blend, plain, wood
from sample_dataset.maker.noise import fbm, noise, smoothstep
from sample_dataset.maker.scene import Material, Scene, Thing
from sample_dataset.maker.scenes.light import room_light, window
from sample_dataset.maker.shapes import Box, Ellipsoid, Point


def bookshelf(key: str) -> Scene:
    """Two boards of books of many sizes, with an ornament between them."""
    things = [
        Thing(
            Box((0.0, 1.0, -0.62), (4.0, 3.0, 0.05)), Material(wood(*WALNUT, plank=0.5), 0.03, 0.2)
        ),
    ]
    for height in (-0.04, 1.26, 2.56):
        things.append(
            Thing(
                Box((0.0, height, 0.0), (4.0, 0.04, 0.62)),
                Material(wood(*WALNUT, plank=3.0), 0.04, 0.12),
            )
        )
    for shelf, floor in enumerate((0.0, 1.30)):
        x, index = -2.0, 0
        pick = uniform(f"bookshelf/{key}/{shelf}", (60, 8))
        gap = 1.0 * pick[0, 7] - 0.35 + 0.9 * (shelf == 0) - 0.3
        while x < 2.0:
            thick, high, deep = (
                0.045 + 0.07 * pick[index, 0],
                0.72 + 0.4 * pick[index, 1],
                0.36 + 0.14 * pick[index, 2],
            )
            if gap <= x < gap + 0.55:
                things += _ornament((x + 0.3, floor, 0.1), shelf)
                x = gap + 0.62
                continue
            centre = (x + thick, floor + high / 2.0, 0.46 - deep + 0.1 * pick[index, 3])
            cover = Material(
                _spine(pick[index], centre, thick, high), 0.04 * (pick[index, 6] > 0.4), 0.18
            )
            things.append(
                Thing(
                    Box(centre, (thick * 0.97, high / 2.0, deep)),
                    cover,
                    f"books {shelf}{index // 5}",
                )
            )
            x += 2.0 * thick + 0.006
            index += 1
    return Scene(
        tuple(things),
        eye=(0.5, 1.35, 4.2),
        target=(0.05, 1.18, 0.0),
        fov_degrees=34.0,
        light_from=(-0.55, 0.7, 1.0),
        light_rgb=(1.7, 1.55, 1.3),
        light_cone=0.2,
        sky=room_light(0.35, (1.0, 0.93, 0.82)),
        highlights=window,
        aperture=0.02,
    )


def _spine(pick: Floats, centre: Point, thick: float, high: float) -> Texture:
    palette: tuple[Colour, ...] = (
        (0.32, 0.05, 0.045),
        (0.05, 0.11, 0.24),
        (0.07, 0.17, 0.10),
        (0.55, 0.47, 0.33),
        (0.16, 0.08, 0.045),
        (0.62, 0.60, 0.55),
        (0.50, 0.22, 0.05),
        (0.03, 0.03, 0.035),
        (0.12, 0.24, 0.30),
    )
    cloth = palette[int(len(palette) * pick[4])]
    ink: Colour = (0.66, 0.50, 0.18) if sum(cloth) < 1.0 else (0.10, 0.05, 0.04)
    letters = float(np.floor(100.0 * pick[5]))

    def texture(point: Floats) -> Floats:
        u, v = (point[0] - centre[0]) / thick, (point[1] - centre[1]) / high + 0.5
        rule = (
            (np.abs(v - 0.9) < 0.008)
            | (np.abs(v - 0.12) < 0.008)
            | ((np.abs(v - 0.86) < 0.004) & (pick[6] > 0.5))
        )
        title = (np.abs(u) < 0.36) & (v > 0.32 + 0.2 * pick[3]) & (v < 0.82)
        glyph = noise(np.floor(u * 7.0) + letters, v * high * 75.0) > 0.5
        gaps = noise(np.full(u.shape, letters), v * high * 9.0) > 0.35
        mark = rule | (title & glyph & gaps)
        wear = 0.8 + 0.4 * fbm(point[0] * 9.0, point[1] * 6.0, letters, octaves=4)
        weave = 0.95 + 0.1 * noise(point[0] * 160.0, point[1] * 160.0)
        paper = (np.abs(point[1] - centre[1]) > high / 2.0 - 0.004) & (np.abs(u) < 0.85)
        return np.where(paper, 0.62, blend(cloth, ink, mark.astype(np.float64)) * wear * weave)

    return texture


def _ornament(foot: Point, shelf: int) -> list[Thing]:
    if shelf == 0:
        profile = (
            (0.0, 0.0),
            (0.12, 0.0),
            (0.13, 0.03),
            (0.22, 0.25),
            (0.21, 0.42),
            (0.12, 0.58),
            (0.07, 0.68),
            (0.10, 0.76),
            (0.085, 0.75),
            (0.05, 0.66),
            (0.0, 0.6),
        )
        return [
            Thing(
                Lathe(foot, profile),
                Material(plain((0.10, 0.30, 0.34), 0.35, 5.0), 0.06, 0.02),
                "vase",
            )
        ]
    globe = (foot[0], 0.30 + foot[1], foot[2])
    stand = ((0.0, 0.0), (0.13, 0.0), (0.12, 0.03), (0.03, 0.06), (0.03, 0.16))
    return [
        Thing(Lathe(foot, stand), Material(wood(*WALNUT), 0.05, 0.05), "globe"),
        Thing(Ellipsoid(globe, (0.2, 0.2, 0.2)), Material(_globe(globe), 0.04, 0.04), "globe"),
    ]


def _globe(centre: Point) -> Texture:
    def texture(point: Floats) -> Floats:
        p = (point - np.asarray(centre)[:, None]) * 9.0
        land = smoothstep(0.52, 0.54, fbm(p[0], p[1], p[2] + 20.0, octaves=4))
        line = np.minimum(
            np.abs(np.mod(p[1] * 0.8, 1.0) - 0.5),
            np.abs(np.mod(np.arctan2(p[2], p[0]) * 1.9, 1.0) - 0.5),
        )
        return blend((0.10, 0.25, 0.36), (0.58, 0.47, 0.24), land) * (
            0.75 + 0.25 * smoothstep(0.0, 0.06, line)
        )

    return texture
