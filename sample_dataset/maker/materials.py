"""What surfaces look like: colour as a function of the point in space, linear light 0..1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sample_dataset.maker.draws import Floats
from sample_dataset.maker.noise import cells, fbm, noise, smoothstep

Texture = Callable[[Floats], Floats]
Colour = tuple[float, float, float]

WALNUT = ((0.09, 0.045, 0.022), (0.34, 0.19, 0.10))
OAK = ((0.25, 0.145, 0.07), (0.60, 0.41, 0.235))


def plain(colour: Colour, mottle: float = 0.0, scale: float = 3.0) -> Texture:
    """One colour, with darker and lighter patches of relative strength ``mottle``."""

    def texture(point: Floats) -> Floats:
        value = np.ones(point.shape[1])
        if mottle:
            p = point * scale
            value += mottle * (2.0 * fbm(p[0], p[1], p[2], octaves=3) - 1.0)
        return np.asarray(colour)[:, None] * value

    return texture


def blend(low: Colour, high: Colour, share: Floats) -> Floats:
    """``(3, N)``: ``low`` where the share is 0, ``high`` where it is 1."""
    return np.asarray(low)[:, None] * (1.0 - share) + np.asarray(high)[:, None] * share


def wood(dark: Colour, light: Colour, plank: float = 0.9) -> Texture:
    """Planks along x with grain, seams and a tone of their own."""

    def texture(point: Floats) -> Floats:
        x, z = point[0], point[2] + 0.31
        row = np.floor(z / plank)
        tone = noise(row * 3.7 + 0.5, row * 1.3)
        across = z / plank - row
        warp = fbm(x * 0.5 + 9.0 * tone, z * 2.5, 2.0, octaves=3)
        rings = 0.5 + 0.5 * np.sin(38.0 * (across * 0.5 + 0.8 * warp + tone))
        fibres = fbm(x * 3.0, z * 55.0, octaves=3)
        share = 0.25 * tone + 0.3 * rings + 0.6 * fibres
        seam = smoothstep(0.0, 0.012, np.minimum(across, 1.0 - across))
        return blend(dark, light, np.clip(share, 0.0, 1.0)) * (0.25 + 0.75 * seam)

    return texture


def bricks(axis: int, width: float = 0.5, height: float = 0.16) -> Texture:
    """A brick wall in running bond; ``axis`` (0 or 2) is the horizontal one."""

    def texture(point: Floats) -> Floats:
        u, v = point[axis] / width, point[1] / height
        row = np.floor(v)
        u = u + 0.5 * np.mod(row, 2.0) + 0.04 * (noise(row * 1.7, row * 0.3) - 0.5)
        column = np.floor(u)
        wear = 0.02 * (fbm(point[axis] * 25.0, point[1] * 25.0, octaves=2) - 0.5)
        du = np.minimum(u - column, column + 1.0 - u) * width + wear
        dv = np.minimum(v - row, row + 1.0 - v) * height + wear
        inside = smoothstep(0.006, 0.014, np.minimum(du, dv))
        tone = noise(column * 5.3 + 0.7, row * 3.1 + 0.2)
        grain = fbm(point[axis] * 18.0, point[1] * 18.0, octaves=4)
        brick = blend(
            (0.23, 0.075, 0.045), (0.48, 0.19, 0.11), np.clip(0.75 * tone + 0.3 * grain, 0, 1)
        )
        stain = 0.75 + 0.5 * fbm(point[axis] * 0.7, point[1] * 0.4, octaves=3)
        mortar = np.asarray((0.46, 0.43, 0.38))[:, None] * (0.7 + 0.5 * grain)
        return (brick * inside + mortar * (1.0 - inside)) * stain

    return texture


def tiles(one: Colour, two: Colour, side: float) -> Texture:
    """A chequered floor with veined stone and thin joints."""

    def texture(point: Floats) -> Floats:
        u, v = point[0] / side + 0.137, point[2] / side + 0.071
        cu, cv = np.floor(u), np.floor(v)
        vein = fbm(point[0] * 2.0 + 3.0 * cu, point[2] * 2.0 + 5.0 * cv, octaves=5)
        vein = smoothstep(0.0, 0.06, np.abs(vein - 0.5))
        shade = 0.72 + 0.28 * vein + 0.12 * (noise(cu * 3.3, cv * 2.9) - 0.5)
        edge = np.minimum(np.minimum(u - cu, cu + 1 - u), np.minimum(v - cv, cv + 1 - v)) * side
        joint = smoothstep(0.008, 0.016, edge)
        return blend(one, two, np.mod(cu + cv, 2.0)) * shade * (0.45 + 0.55 * joint)

    return texture


def stone(colour: Colour, scale: float = 1.0) -> Texture:
    """Weathered stone or plaster: stains, grain and fine cracks."""

    def texture(point: Floats) -> Floats:
        p = point * scale
        stain = fbm(p[0] * 1.1, p[1] * 0.7, p[2] * 1.1, octaves=4)
        grain = fbm(p[0] * 14.0, p[1] * 14.0, p[2] * 14.0, octaves=3)
        crack = np.abs(fbm(p[0] * 2.3, p[1] * 2.3, p[2] * 2.3, octaves=4) - 0.5)
        value = (0.55 + 0.5 * stain + 0.3 * (grain - 0.5)) * (
            0.75 + 0.25 * smoothstep(0, 0.012, crack)
        )
        return np.asarray(colour)[:, None] * value

    return texture


def ground_cover(low: Colour, high: Colour, scale: float) -> Texture:
    """Leaves, gravel or grass seen from afar: cells of many tones over larger patches."""

    def texture(point: Floats) -> Floats:
        near, second, tone = cells(point[0] * scale, point[2] * scale)
        patch = fbm(point[0] * 0.6, point[2] * 0.6, octaves=4)
        share = np.clip(0.55 * tone + 0.9 * (patch - 0.25), 0.0, 1.0)
        return blend(low, high, share) * (0.45 + 0.55 * smoothstep(0.02, 0.25, second - near))

    return texture


def fallen_leaves(point: Floats) -> Floats:
    """Layers of small leaves, brown to yellow, with soil and moss between them."""
    x, z = point[0], point[2]
    soil = fbm(x * 5.0, z * 5.0, octaves=4)
    colour = blend((0.035, 0.025, 0.012), (0.09, 0.10, 0.025), soil)
    for layer, turn in enumerate((0.3, 1.2, 2.3)):
        u = (x * np.cos(turn) - z * np.sin(turn)) * 5.5 + 3.0 * layer
        v = (x * np.sin(turn) + z * np.cos(turn)) * 8.5
        near, _, tone = cells(u, v, float(layer))
        leaf = smoothstep(0.40, 0.34, near) * (np.mod(tone * 7.3, 1.0) > 0.35)
        shade = 0.65 + 0.7 * np.mod(tone * 3.1, 1.0) - 0.5 * near
        colour = (
            colour * (1.0 - leaf)
            + blend((0.20, 0.085, 0.025), (0.52, 0.33, 0.06), tone) * leaf * shade
        )
    return colour


def birch() -> Texture:
    """White bark with dark bands."""

    def texture(point: Floats) -> Floats:
        around = np.arctan2(np.mod(point[2], 0.7) - 0.35, np.mod(point[0], 0.7) - 0.35)
        band = fbm(around * 1.5, point[1] * 9.0, octaves=4)
        mark = smoothstep(0.56, 0.66, band)
        base = 0.6 + 0.4 * fbm(point[0] * 8.0, point[1] * 3.0, point[2] * 8.0, octaves=3)
        return blend((0.72, 0.70, 0.64), (0.06, 0.05, 0.045), mark) * base

    return texture


def rough(strength: float, scale: float) -> Texture:
    """A bump: normals shaken by noise of ``scale`` cells a unit."""

    def bump(point: Floats) -> Floats:
        x, y, z = point * scale
        shake = [noise(x, y, z), noise(y + 7.3, z, x), noise(z + 3.1, x, y)]
        return strength * (2.0 * np.stack(shake) - 1.0)

    return bump
