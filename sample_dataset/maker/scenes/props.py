"""Things that stand in more than one scene."""

from __future__ import annotations

import numpy as np

from sample_dataset.maker.draws import uniform
from sample_dataset.maker.lathe import Lathe
from sample_dataset.maker.materials import plain, rough
from sample_dataset.maker.scene import Material, Thing
from sample_dataset.maker.shapes import Ellipsoid, Point


def pot(foot: Point, pick: float) -> list[Thing]:
    """A plant in a clay pot; ``pick`` chooses its leaves. The group is called "pot"."""
    clay = Material(plain((0.45, 0.19, 0.09), 0.3, 6.0))
    profile = (
        (0.0, 0.0),
        (0.20, 0.0),
        (0.27, 0.38),
        (0.30, 0.38),
        (0.30, 0.46),
        (0.26, 0.46),
        (0.25, 0.40),
        (0.0, 0.40),
    )
    things = [Thing(Lathe(foot, profile, sharp=True), clay, "pot")]
    for index in range(14):
        spot = uniform(f"pot/{pick:.6f}/{index}", 4)
        angle, out = 2.0 * np.pi * spot[0], 0.26 * np.sqrt(spot[1])
        at = (
            foot[0] + out * float(np.cos(angle)),
            foot[1] + 0.5 + 0.42 * spot[2],
            foot[2] + out * float(np.sin(angle)),
        )
        leaf = Material(
            plain((0.06, 0.15 + 0.08 * spot[3], 0.03), 0.5, 14.0), 0.03, 0.2, bump=rough(1.0, 30.0)
        )
        things.append(Thing(Ellipsoid(at, (0.13, 0.10 + 0.05 * spot[3], 0.13)), leaf, "pot"))
    return things
