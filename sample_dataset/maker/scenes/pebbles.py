"""Pebbles on a beach, seen from above."""

from __future__ import annotations

import numpy as np

from sample_dataset.maker.draws import Floats, uniform
from sample_dataset.maker.noise import cells, fbm, smoothstep
from sample_dataset.maker.scene import Rendering
from sample_dataset.maker.shapes import unit


def pebbles(key: str, size: int) -> Rendering:
    """Wet and dry pebbles on a beach, seen from above; the largest one is a group."""
    pick = uniform(f"pebbles/{key}", 6)
    fine, edge = size * 2, 64  # shadows at the border need what lies beyond it
    steps = np.arange(-edge, fine + edge) / fine
    v, u = np.meshgrid(steps, steps, indexing="ij")
    u, v = u + 5.0 * pick[0], v * (1.0 + 0.15 * v) + 5.0 * pick[1]
    height, tone, who = np.zeros(u.shape), np.zeros(u.shape), np.zeros(u.shape)
    for layer, scale in enumerate((26.0, 15.0, 9.0, 6.0)):
        warp = 0.22 * (fbm(u * scale * 0.9, v * scale * 0.9, float(layer), octaves=2) - 0.5)
        near, second, value = cells(u * scale + warp + 7.0 * layer, v * scale - warp, float(layer))
        present = np.mod(value * 13.7, 1.0) < (1.0, 0.85, 0.55, 0.40)[layer]
        dome = np.sqrt(
            np.clip(
                1.0 - (near / (0.30 + 0.45 * np.clip(second - near, 0.0, 0.6) + 0.12)) ** 2,
                0.0,
                1.0,
            )
        )
        lift = np.where(
            present & (dome > 0.0), (0.30 * layer + 0.9 * dome) / scale * (0.6 + 0.2 * layer), 0.0
        )
        on_top = lift > height
        height = np.where(on_top, lift, height)
        tone = np.where(on_top, value, tone)
        who = np.where(on_top, layer + 1.0, who)
    wet = smoothstep(0.42, 0.56, fbm(u * 1.1 + 3.0, v * 1.1, octaves=3))
    light = _lit_pebbles(u, v, height, tone, who, wet, fine)[:, edge:-edge, edge:-edge]
    picture = light.reshape(3, size, 2, size, 2).mean(axis=(2, 4)).transpose(1, 2, 0)
    return Rendering(picture)


def _lit_pebbles(
    u: Floats, v: Floats, height: Floats, tone: Floats, who: Floats, wet: Floats, fine: int
) -> Floats:
    grain = fbm(u * 120.0, v * 120.0, octaves=3)
    veins = smoothstep(0.0, 0.035, np.abs(fbm(u * 14.0 + 90.0 * tone, v * 14.0, octaves=4) - 0.5))
    hue = np.mod(tone * 37.1 + who * 0.3, 1.0)
    palette = np.asarray(
        [
            (0.30, 0.28, 0.26),
            (0.46, 0.42, 0.36),
            (0.40, 0.26, 0.19),
            (0.20, 0.22, 0.24),
            (0.58, 0.56, 0.52),
            (0.34, 0.33, 0.25),
        ]
    )
    colour = palette[(hue * 6.0).astype(np.int64)].transpose(2, 0, 1)
    sand = np.asarray((0.34, 0.27, 0.19))[:, None, None]
    colour = np.where(
        who > 0.0, colour * (0.55 + 0.6 * grain) * (0.72 + 0.28 * veins), sand * (0.4 + 0.9 * grain)
    )
    colour = colour * (1.0 - 0.5 * wet)
    shaken = height + 0.0012 * (grain - 0.5)
    slope_y, slope_x = np.gradient(shaken, 1.0 / fine)
    normal = np.stack([-slope_x, np.ones_like(height), -slope_y])
    normal /= np.sqrt((normal**2).sum(axis=0))
    sun = unit(np.asarray((-0.62, 0.62, -0.42))[:, None])[:, 0]
    clear, open_sky = np.ones_like(height), np.ones_like(height)
    for step in range(1, 40):
        dx, dy = round(step * sun[0] * 1.5), round(step * sun[2] * 1.5)
        rise = step * 1.5 / fine * sun[1]
        ahead = np.roll(height, (-dy, -dx), axis=(0, 1))
        clear = np.minimum(clear, np.clip(1.0 - 260.0 * (ahead - height - rise), 0.0, 1.0))
    for reach in (4, 9, 18):
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)):
            ahead = np.roll(height, (dy * reach, dx * reach), axis=(0, 1))
            open_sky -= 0.045 * np.clip((ahead - height) * fine / reach, 0.0, 1.5)
    open_sky = np.clip(open_sky, 0.08, 1.0)
    facing = np.maximum(np.einsum("i,iyx->yx", sun, normal), 0.0)
    half = unit((sun + np.array([0.0, 1.0, 0.2]))[:, None])[:, 0]
    shine = np.maximum(np.einsum("i,iyx->yx", half, normal), 0.0) ** 60 * wet * clear
    direct = (facing * clear)[None] * np.asarray((2.1, 1.95, 1.7))[:, None, None]
    around = open_sky[None] * np.asarray((0.42, 0.48, 0.58))[:, None, None]
    return np.asarray(colour * (direct + around) + 0.9 * shine + 0.05 * wet * open_sky)
