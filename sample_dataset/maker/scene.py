"""What a scene is made of, and what rendering it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from sample_dataset.maker.draws import Floats
from sample_dataset.maker.shapes import Point, Shape


@dataclass(frozen=True)
class Material:
    """How a surface looks. ``colour`` and ``bump`` are functions of ``(3, N)`` points."""

    colour: Callable[[Floats], Floats]  # (3, N), 0..1
    gloss: float = 0.0  # reflectance at right angles: 0.04 plastic or varnish; 0: matte
    roughness: float = 0.05  # how far reflections spread
    metal: bool = False
    bump: Callable[[Floats], Floats] | None = None  # (3, N), added to the normal
    glow: float = 0.0  # light given off, times the colour


@dataclass(frozen=True)
class Thing:
    """A shape made of a material; ``group`` names what belongs to one object."""

    shape: Shape
    material: Material
    group: str = ""


def no_highlights(direction: Floats) -> Floats:
    """Nothing but the sky in reflections."""
    return np.zeros_like(direction)


@dataclass(frozen=True)
class Scene:
    """Everything that is in front of the camera, and the camera's place."""

    things: tuple[Thing, ...]
    eye: Point
    target: Point
    fov_degrees: float
    light_from: Point
    light_rgb: Point
    sky: Callable[[Floats], Floats]  # of (3, N) directions
    highlights: Callable[[Floats], Floats] = no_highlights  # seen in reflections only
    ambient: Point = (0.0, 0.0, 0.0)  # light on the last surface of a path, for all that follow
    light_cone: float = 0.01  # radians
    aperture: float = 0.0  # lens radius
    focus: float = 0.0  # distance in focus; 0: the target's
    fog: float = 0.0  # extinction per unit
    fog_rgb: Point = (0.8, 0.85, 0.9)


@dataclass(frozen=True)
class Rendering:
    """Linear light ``(S, S, 3)`` and, by group, the share of each pixel it covers ``(S, S)``."""

    light: Floats
    coverage: dict[str, Floats] = field(default_factory=dict)
