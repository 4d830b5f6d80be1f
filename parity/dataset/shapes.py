"""Solid shapes that a ray can hit. Points and directions are ``(3, N)`` float64; y is up.

Each shape answers two questions: how far along a ray its surface is (infinity: not at all), and
which way the surface faces at a point on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from parity.dataset.draws import Floats

NEAR = 1e-4  # closer hits are the surface that the ray starts from
Point = tuple[float, float, float]


class Shape(Protocol):
    """What the path tracer needs of a shape."""

    def distance(self, origin: Floats, direction: Floats) -> Floats:
        """``(N,)`` distance along the ray to the surface, infinity where it is missed."""

    def normal(self, point: Floats) -> Floats:
        """``(3, N)`` unit normals, pointing outwards."""


@dataclass(frozen=True)
class Ellipsoid:
    """A ball stretched along the axes."""

    centre: Point
    radii: Point

    def distance(self, origin: Floats, direction: Floats) -> Floats:
        radii = np.asarray(self.radii)[:, None]
        start = (origin - np.asarray(self.centre)[:, None]) / radii
        step = direction / radii
        a = np.einsum("in,in->n", step, step)
        b = np.einsum("in,in->n", start, step)
        c = np.einsum("in,in->n", start, start) - 1.0
        return _first_root(a, b, c)

    def normal(self, point: Floats) -> Floats:
        radii = np.asarray(self.radii)[:, None]
        return unit((point - np.asarray(self.centre)[:, None]) / radii**2)


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
        return np.stack([cos * vector[0] - sin * vector[2], vector[1], sin * vector[0] + cos * vector[2]])

    def distance(self, origin: Floats, direction: Floats) -> Floats:
        half = np.asarray(self.half)[:, None]
        start = self._local(origin - np.asarray(self.centre)[:, None])
        step = self._local(direction)
        step = np.where(np.abs(step) < 1e-12, 1e-12, step)
        one, two = (-half - start) / step, (half - start) / step
        enter = np.minimum(one, two).max(axis=0)
        leave = np.maximum(one, two).min(axis=0)
        hit = np.where(enter > NEAR, enter, leave)
        return np.where((enter <= leave) & (hit > NEAR), hit, np.inf)

    def normal(self, point: Floats) -> Floats:
        local = self._local(point - np.asarray(self.centre)[:, None])
        local = local / np.asarray(self.half)[:, None]
        axis = np.abs(local).argmax(axis=0)
        face = np.where(np.arange(3)[:, None] == axis, np.sign(local), 0.0)
        if self.yaw == 0.0:
            return face
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        return np.stack([cos * face[0] + sin * face[2], face[1], -sin * face[0] + cos * face[2]])


@dataclass(frozen=True)
class Ground:
    """The endless horizontal plane at ``height``."""

    height: float = 0.0

    def distance(self, origin: Floats, direction: Floats) -> Floats:
        slope = np.where(np.abs(direction[1]) < 1e-12, 1e-12, direction[1])
        hit = (self.height - origin[1]) / slope
        return np.where((hit > NEAR) & (hit < 1e4), hit, np.inf)

    def normal(self, point: Floats) -> Floats:
        up = np.zeros_like(point)
        up[1] = 1.0
        return up


@dataclass(frozen=True)
class Lathe:
    """A profile of (radius, height) points turned about a vertical axis: bottles, mugs, trunks.

    Normals are smoothed over the profile's corners unless ``sharp``.
    """

    foot: Point
    profile: tuple[tuple[float, float], ...]
    sharp: bool = False

    def distance(self, origin: Floats, direction: Floats) -> Floats:
        start = origin - np.asarray(self.foot)[:, None]
        best = np.full(start.shape[1], np.inf)
        a = direction[0] ** 2 + direction[2] ** 2
        b = start[0] * direction[0] + start[2] * direction[2]
        c = start[0] ** 2 + start[2] ** 2
        for (r0, y0), (r1, y1) in zip(self.profile, self.profile[1:], strict=False):
            if abs(y1 - y0) < 1e-9:
                hits = [self._on_ring(start, direction, y0, min(r0, r1), max(r0, r1))]
            else:
                hits = self._on_cone(start, direction, (a, b, c), (r0, y0, r1, y1))
            for hit in hits:
                best = np.minimum(best, hit)
        return best

    @staticmethod
    def _on_ring(start: Floats, direction: Floats, y: float, low: float, high: float) -> Floats:
        slope = np.where(np.abs(direction[1]) < 1e-12, 1e-12, direction[1])
        hit = (y - start[1]) / slope
        square = (start[0] + hit * direction[0]) ** 2 + (start[2] + hit * direction[2]) ** 2
        return np.where((hit > NEAR) & (square >= low**2) & (square <= high**2), hit, np.inf)

    @staticmethod
    def _on_cone(
        start: Floats,
        direction: Floats,
        round_terms: tuple[Floats, Floats, Floats],
        ends: tuple[float, float, float, float],
    ) -> list[Floats]:
        r0, y0, r1, y1 = ends
        k = (r1 - r0) / (y1 - y0)
        at_start = r0 + k * (start[1] - y0)
        a = round_terms[0] - (k * direction[1]) ** 2
        a = np.where(np.abs(a) < 1e-12, 1e-12, a)
        b = round_terms[1] - at_start * k * direction[1]
        c = round_terms[2] - at_start**2
        root = np.sqrt(np.maximum(b * b - a * c, 0.0))
        hits = []
        low, high = min(y0, y1), max(y0, y1)
        for hit in ((-b - root) / a, (-b + root) / a):
            y = start[1] + hit * direction[1]
            valid = (b * b >= a * c) & (hit > NEAR) & (y >= low) & (y <= high)
            hits.append(np.where(valid, hit, np.inf))
        return hits

    def normal(self, point: Floats) -> Floats:
        local = point - np.asarray(self.foot)[:, None]
        radius = np.maximum(np.hypot(local[0], local[2]), 1e-9)
        corners = self._corner_normals()
        best = np.full(radius.shape, np.inf)
        out = np.zeros_like(local)
        for index, ((r0, y0), (r1, y1)) in enumerate(zip(self.profile, self.profile[1:], strict=False)):
            along = np.array([r1 - r0, y1 - y0])
            length = float(along @ along)
            t = np.clip(((radius - r0) * along[0] + (local[1] - y0) * along[1]) / length, 0.0, 1.0)
            off = np.hypot(radius - r0 - t * along[0], local[1] - y0 - t * along[1])
            (nr0, ny0), (nr1, ny1) = corners[index]
            nr, ny = nr0 + t * (nr1 - nr0), ny0 + t * (ny1 - ny0)
            here = np.stack([nr * local[0] / radius, ny, nr * local[2] / radius])
            closer = off < best
            out = np.where(closer, here, out)
            best = np.where(closer, off, best)
        return unit(out)

    def _corner_normals(self) -> list[tuple[Floats, Floats]]:
        """For each segment the (radial, vertical) normal at its two ends."""
        flat = []
        for (r0, y0), (r1, y1) in zip(self.profile, self.profile[1:], strict=False):
            across = np.array([y1 - y0, r0 - r1])
            flat.append(across / np.hypot(*across))
        if self.sharp:
            return [(one, one) for one in flat]
        joints = [flat[0], *(a + b for a, b in zip(flat, flat[1:], strict=False)), flat[-1]]
        joints = [joint / max(float(np.hypot(*joint)), 1e-9) for joint in joints]
        return list(zip(joints[:-1], joints[1:], strict=True))


def unit(vector: Floats) -> Floats:
    """``(3, N)`` vectors at length 1."""
    length = np.sqrt(np.einsum("in,in->n", vector, vector))
    return vector / np.maximum(length, 1e-12)


def _first_root(a: Floats, b: Floats, c: Floats) -> Floats:
    """The nearest root in front of the ray of ``a t^2 + 2 b t + c``."""
    square = b * b - a * c
    root = np.sqrt(np.maximum(square, 0.0))
    near, far = (-b - root) / a, (-b + root) / a
    hit = np.where(near > NEAR, near, far)
    return np.where((square >= 0.0) & (hit > NEAR), hit, np.inf)
