"""The same numbers in another arrangement: (B, C, h, w) and tokens (B, h * w, C), say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, permutations
from operator import mul
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SAMPLES = 512
MOST_AXES = 5  # 120 permutations
CLEARLY_BETTER = 0.5
AGREES = 1e-4  # relative; nothing better is looked for


@dataclass(frozen=True)
class Layout:
    """How a reference's value lies in the candidate's tensor.

    Attributes:
        reference: permutation of the reference's axes (those of length 1 left out).
        candidate: permutation of the candidate's axes, likewise; one of the two is the identity.
    """

    reference: tuple[int, ...]
    candidate: tuple[int, ...]

    def arrange(self, reference: Array, shape: tuple[int, ...]) -> Array:
        """The reference's value as the candidate holds it, of ``shape``."""
        turned = np.transpose(_squeeze(reference), self.reference)
        axes = [n for n in shape if n != 1] or [1]
        permuted = turned.reshape([axes[i] for i in self.candidate])
        return np.transpose(permuted, np.argsort(self.candidate)).reshape(shape)


def find_layout(reference: Array, candidate: Array) -> Layout:
    """The arrangement under which two arrays of equal size agree best.

    Where several agree about equally (a faulty tensor agrees with none), one whose axes fit is
    chosen, row by row first.
    """
    source, target = _squeeze(reference), _squeeze(candidate)
    at = _sample(source.size)
    flat = target.reshape(-1)[at].astype(np.float64)
    scale = float(np.abs(flat).sum())
    best: tuple[float, Layout] | None = None
    for layout in _layouts(source.shape, target.shape):
        if layout.candidate == tuple(range(target.ndim)):
            turned = np.transpose(source, layout.reference)
            values, wanted = turned[np.unravel_index(at, turned.shape)], flat
        else:
            turned = np.transpose(target, layout.candidate)
            values = source.reshape(-1)[at]
            wanted = turned[np.unravel_index(at, turned.shape)].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            score = float(np.abs(values - wanted).sum())
        score = score if np.isfinite(score) else float("inf")
        if best is None or score < CLEARLY_BETTER * best[0]:
            best = score, layout
        if best[0] <= AGREES * scale:
            break
    assert best is not None  # the identity is always there
    return best[1]


def _layouts(source: tuple[int, ...], target: tuple[int, ...]) -> Iterator[Layout]:
    """Arrangements, those whose axes fit first, row by row before them where it fits."""
    same = tuple(range(len(source))), tuple(range(len(target)))
    found = [Layout(*same)]
    if len(source) <= MOST_AXES:
        found += [Layout(p, same[1]) for p in permutations(same[0]) if p != same[0]]
    if len(target) <= MOST_AXES:
        found += [Layout(same[0], p) for p in permutations(same[1]) if p != same[1]]

    def fits(layout: Layout) -> bool:
        left = set(accumulate((source[i] for i in layout.reference), mul))
        right = set(accumulate((target[i] for i in layout.candidate), mul))
        return left <= right or right <= left

    yield from sorted(found, key=lambda layout: not fits(layout))


def _squeeze(array: Array) -> Array:
    return array.reshape([n for n in array.shape if n != 1] or [1])


def _sample(size: int) -> npt.NDArray[np.int64]:
    if size <= SAMPLES:
        return np.arange(size)
    return np.random.default_rng(0).integers(0, size, SAMPLES)
