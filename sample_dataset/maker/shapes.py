"""Solid shapes that a ray can hit. Points and directions are ``(3, N)`` float64; y is up.

Each shape answers two questions: how far along a ray its surface is (infinity: not at all), and
which way the surface faces at a point on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sample_dataset.maker.draws import Floats

NEAR = 1e-4  # closer hits are the surface that the ray starts from
Point = tuple[float, float, float]


class Shape(Protocol):
    """What the path tracer needs of a shape."""

    def distance(self, origin: Floats, direction: Floats) -> Floats:
        """``(N,)`` distance along the ray to the surface, infinity where it is missed."""

    def normal(self, point: Floats) -> Floats:
        """``(3, N)`` unit normals, pointing outwards."""

    def reach(self) -> tuple[Point, float, int]:
        """Centre and radius of a ball around it, and the cost of `distance` in its parts."""


@dataclass(frozen=True)
class Ellipsoid:
    """A ball stretched along the axes."""

    centre: Point
    radii: Point

    def distance(self, origin: Floats, direction: Floats) -> Floats:
        """See `Shape`."""
        radii = np.asarray(self.radii)[:, None]
        start = (origin - np.asarray(self.centre)[:, None]) / radii
        step = direction / radii
        a = np.einsum("in,in->n", step, step)
        b = np.einsum("in,in->n", start, step)
        c = np.einsum("in,in->n", start, start) - 1.0
        return _first_root(a, b, c)

    def normal(self, point: Floats) -> Floats:
        """See `Shape`."""
        radii = np.asarray(self.radii)[:, None]
        return unit((point - np.asarray(self.centre)[:, None]) / radii**2)

    def reach(self) -> tuple[Point, float, int]:
        """See `Shape`."""
        return self.centre, max(self.radii), 1


@dataclass(frozen=True)
class Box:
    """A box, turned by ``yaw`` radians about the vertical."""

    centre: Point
    half: Point
    yaw: float = 0.0

    def _local(self, vector: Floats) -> Floats:
        if self.yaw == 0.0:
            return vector
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        return np.stack(
            [cos * vector[0] - sin * vector[2], vector[1], sin * vector[0] + cos * vector[2]]
        )

    def distance(self, origin: Floats, direction: Floats) -> Floats:
        """See `Shape`."""
        half = np.asarray(self.half)[:, None]
        start = self._local(origin - np.asarray(self.centre)[:, None])
        step = self._local(direction)
        inverse = 1.0 / np.where(np.abs(step) < 1e-12, 1e-12, step)
        middle, reach = -start * inverse, half * np.abs(inverse)
        (x0, y0, z0), (x1, y1, z1) = middle - reach, middle + reach
        enter, leave = np.maximum(np.maximum(x0, y0), z0), np.minimum(np.minimum(x1, y1), z1)
        hit = np.where(enter > NEAR, enter, leave)
        return np.where((enter <= leave) & (hit > NEAR), hit, np.inf)

    def normal(self, point: Floats) -> Floats:
        """See `Shape`."""
        local = self._local(point - np.asarray(self.centre)[:, None])
        local = local / np.asarray(self.half)[:, None]
        axis = np.abs(local).argmax(axis=0)
        face = np.where(np.arange(3)[:, None] == axis, np.sign(local), 0.0)
        if self.yaw == 0.0:
            return face
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        return np.stack([cos * face[0] + sin * face[2], face[1], -sin * face[0] + cos * face[2]])

    def reach(self) -> tuple[Point, float, int]:
        """See `Shape`."""
        return self.centre, float(np.linalg.norm(self.half)), 1


@dataclass(frozen=True)
class Ground:
    """The endless horizontal plane at ``height``."""

    height: float = 0.0

    def distance(self, origin: Floats, direction: Floats) -> Floats:
        """See `Shape`."""
        slope = np.where(np.abs(direction[1]) < 1e-12, 1e-12, direction[1])
        hit = (self.height - origin[1]) / slope
        return np.where((hit > NEAR) & (hit < 1e4), hit, np.inf)

    def normal(self, point: Floats) -> Floats:
        """See `Shape`."""
        up = np.zeros_like(point)
        up[1] = 1.0
        return up

    def reach(self) -> tuple[Point, float, int]:
        """See `Shape`."""
        return (0.0, self.height, 0.0), np.inf, 1


def bounding_ball(shapes: list[Shape]) -> Ellipsoid:
    """A ball that contains all of them (not the smallest)."""
    reaches = [shape.reach() for shape in shapes]
    centre = np.mean([at for at, _, _ in reaches], axis=0)
    radius = max(float(np.linalg.norm(centre - at)) + r for at, r, _ in reaches) + 1e-3
    x, y, z = (float(value) for value in centre)
    return Ellipsoid((x, y, z), (radius, radius, radius))


def passes(ball: Ellipsoid, origin: Floats, direction: Floats) -> npt.NDArray[np.bool_]:
    """Which rays come through the ball, ahead of their start."""
    towards = np.asarray(ball.centre)[:, None] - origin
    along = np.einsum("in,in->n", towards, direction)
    apart = np.einsum("in,in->n", towards, towards)
    inside = apart <= ball.radii[0] ** 2
    return np.asarray(inside | ((along > 0.0) & (apart - along * along <= ball.radii[0] ** 2)))


def unit(vector: Floats) -> Floats:
    """``(3, N)`` vectors at length 1."""
    length = np.sqrt(np.einsum("in,in->n", vector, vector))
    return np.asarray(vector / np.maximum(length, 1e-12))


def _first_root(a: Floats, b: Floats, c: Floats) -> Floats:
    """The nearest root in front of the ray of ``a t^2 + 2 b t + c``."""
    square = b * b - a * c
    root = np.sqrt(np.maximum(square, 0.0))
    near, far = (-b - root) / a, (-b + root) / a
    hit = np.where(near > NEAR, near, far)
    return np.where((square >= 0.0) & (hit > NEAR), hit, np.inf)
