"""Shapes turned on a lathe. Points and directions are ``(3, N)`` float64; y is up."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sample_dataset.maker.draws import Floats
from sample_dataset.maker.shapes import NEAR, Point, unit


@dataclass(frozen=True)
class Lathe:
    """A profile of (radius, height) points turned about a vertical axis: bottles, mugs, trunks.

    Normals are smoothed over the profile's corners unless ``sharp``.
    """

    foot: Point
    profile: tuple[tuple[float, float], ...]
    sharp: bool = False

    def distance(self, origin: Floats, direction: Floats) -> Floats:
        """See `Shape`."""
        start = origin - np.asarray(self.foot)[:, None]
        best = np.full(start.shape[1], np.inf)
        a = direction[0] ** 2 + direction[2] ** 2
        b = start[0] * direction[0] + start[2] * direction[2]
        c = start[0] ** 2 + start[2] ** 2
        for (r0, y0), (r1, y1) in pairwise(self.profile):
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
        """See `Shape`."""
        local = point - np.asarray(self.foot)[:, None]
        radius = np.maximum(np.hypot(local[0], local[2]), 1e-9)
        corners = self._corner_normals()
        best = np.full(radius.shape, np.inf)
        out = np.zeros_like(local)
        for index, ((r0, y0), (r1, y1)) in enumerate(pairwise(self.profile)):
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

    def reach(self) -> tuple[Point, float, int]:
        """See `Shape`."""
        heights = [y for _, y in self.profile]
        middle = (min(heights) + max(heights)) / 2.0
        radius = max(float(np.hypot(r, y - middle)) for r, y in self.profile)
        return (self.foot[0], self.foot[1] + middle, self.foot[2]), radius, len(self.profile)

    def _corner_normals(self) -> list[tuple[Floats, Floats]]:
        """For each segment the (radial, vertical) normal at its two ends."""
        flat = []
        for (r0, y0), (r1, y1) in pairwise(self.profile):
            across = np.array([y1 - y0, r0 - r1])
            flat.append(across / np.hypot(*across))
        if self.sharp:
            return [(one, one) for one in flat]
        joints = [flat[0], *(a + b for a, b in pairwise(flat)), flat[-1]]
        joints = [joint / max(float(np.hypot(*joint)), 1e-9) for joint in joints]
        return list(pairwise(joints))
