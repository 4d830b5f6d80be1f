"""A birch wood in the mist."""

from __future__ import annotations

import numpy as np

from sample_dataset.maker.draws import Floats, uniform
from sample_dataset.maker.lathe import Lathe
from sample_dataset.maker.materials import birch, blend, fallen_leaves, plain, rough
from sample_dataset.maker.noise import fbm, smoothstep
from sample_dataset.maker.scene import Material, Scene, Thing
from sample_dataset.maker.shapes import Ellipsoid, Ground


def birches(key: str) -> Scene:
    """Birch trunks in the mist, over last year's leaves."""
    spots = uniform(f"birches/{key}", (46, 5))
    bark, things = Material(birch()), []
    things.append(Thing(Ground(0.0), Material(fallen_leaves, bump=rough(0.7, 14.0))))
    for index, (a, b, c, d, _) in enumerate(spots):
        z = 0.4 - 24.0 * (index + b) / 46.0
        x = (a - 0.5) * (5.0 - 0.75 * z)
        thick = 0.085 + 0.09 * c
        lean = 0.35 * (d - 0.5)
        if abs(x - 0.15) < 0.5 and z > -4.0:
            x += 1.1
        profile = (
            (thick * 1.5, -0.1),
            (thick * 1.1, 0.25),
            (thick, 1.5),
            (thick * 0.8, 4.0),
            (thick * 0.5, 8.0),
        )
        things.append(Thing(Lathe((x + lean, 0.0, z), profile), bark, f"trunk {index}"))
    for index in range(18):
        at = uniform(f"birches/{key}/fern {index}", 3)
        place = ((at[0] - 0.5) * 9.0, 0.02, 0.8 - 9.0 * at[1])
        fern = Material(plain((0.07, 0.15, 0.02), 0.5, 9.0), bump=rough(1.2, 25.0))
        things.append(
            Thing(
                Ellipsoid(place, (0.24 + 0.2 * at[2], 0.16 + 0.1 * at[2], 0.22)),
                fern,
                f"fern {index // 6}",
            )
        )
    return Scene(
        tuple(things),
        eye=(0.1, 1.45, 5.2),
        target=(0.05, 1.75, -4.0),
        fov_degrees=44.0,
        light_from=(0.55, 0.75, -0.55),
        light_rgb=(1.7, 1.5, 1.05),
        light_cone=0.05,
        sky=_canopy,
        fog=0.020,
        fog_rgb=(0.74, 0.77, 0.62),
    )


def _canopy(direction: Floats) -> Floats:
    u = np.arctan2(direction[0], -direction[2])
    leaves = fbm(u * 16.0, direction[1] * 20.0, octaves=5)
    gap = smoothstep(0.42, 0.60, leaves + 0.10 * direction[1])
    twigs = smoothstep(0.02, 0.05, np.abs(fbm(u * 9.0, direction[1] * 3.0, 7.0, octaves=3) - 0.5))
    green = blend((0.20, 0.28, 0.06), (0.62, 0.62, 0.16), np.clip(2.4 * (leaves - 0.3), 0.0, 1.0))
    light = green * (1.0 - gap) + np.asarray((1.05, 1.06, 0.95))[:, None] * gap
    return light * (0.55 + 0.45 * twigs)
