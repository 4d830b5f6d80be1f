"""Light from rooms, windows and skies, for scenes that are path-traced or marched."""

from __future__ import annotations

import numpy as np

from sample_dataset.maker.draws import Floats
from sample_dataset.maker.materials import Colour, Texture, blend
from sample_dataset.maker.noise import fbm, smoothstep


def room_light(level: float, tint: Colour = (1.0, 0.97, 0.92)) -> Texture:
    """Light from walls and ceiling: stronger from above and from the left."""

    def sky(direction: Floats) -> Floats:
        value = level * (0.55 + 0.45 * np.clip(direction[1], -1, 1) - 0.2 * direction[0])
        return np.asarray(np.asarray(tint)[:, None] * value)

    return sky


def window(direction: Floats) -> Floats:
    """A window of four panes, high on the left: what glossy things show of it."""
    x = direction[0] * 0.54 + direction[2] * 0.84  # along the wall with the window
    facing = -direction[0] * 0.84 + direction[2] * 0.54
    u, v = x / np.maximum(facing, 0.05), direction[1] / np.maximum(facing, 0.05)
    frame = np.minimum(np.abs(u), np.abs(v - 0.75)) < 0.03
    open_air = (facing > 0.2) & (np.abs(u) < 0.45) & (v > 0.25) & (v < 1.25) & ~frame
    return np.asarray(np.asarray((5.0, 5.2, 5.6))[:, None] * open_air)


def day_sky(zenith: Colour, horizon: Colour, clouds: float = 0.0, turn: float = 0.0) -> Texture:
    """A clear sky with some share of clouds."""

    def sky(direction: Floats) -> Floats:
        up = np.clip(direction[1], 0.0, 1.0)
        blue = blend(horizon, zenith, up**0.55)
        if clouds <= 0.0:
            return blue
        reach = 1.0 / (up + 0.12)
        u, v = direction[0] * reach + turn, direction[2] * reach
        shape = fbm(u * 1.3, v * 1.3, turn, octaves=5)
        cover = smoothstep(0.62 - 0.25 * clouds, 0.80 - 0.2 * clouds, shape) * smoothstep(
            0.0, 0.12, up
        )
        under = 0.75 + 0.5 * (shape - 0.5)
        return blue * (1.0 - cover) + np.asarray((1.05, 1.05, 1.07))[:, None] * cover * under

    return sky
