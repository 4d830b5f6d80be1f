"""Painting something out with pieces of the picture around it.

Criminisi, Perez, Toyama, "Region filling and object removal by exemplar-based image inpainting",
2004: the patch on the hole's edge with the surest surroundings and the strongest structure is
filled first, from the most similar patch of the untouched picture.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sample_dataset.maker.draws import Floats

RADIUS = 4  # of a patch
SEARCH = 45  # how far away a source may lie


def paint_out(picture: npt.NDArray[np.uint8], hole: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 with the pixels of ``hole`` replaced."""
    work = picture.astype(np.int32)
    known = ~hole
    confidence = known.astype(np.float64)
    sources = _whole_patches(known)
    while not known.all():
        y, x = _next_place(work, known, confidence)
        top, left = max(y - RADIUS, 0), max(x - RADIUS, 0)
        bottom, right = min(y + RADIUS + 1, hole.shape[0]), min(x + RADIUS + 1, hole.shape[1])
        window = (slice(top, bottom), slice(left, right))
        sy, sx = _best_source(work, known, sources, y, x, window)
        source = (slice(sy + top - y, sy + bottom - y), slice(sx + left - x, sx + right - x))
        new = ~known[window]
        work[window][new] = work[source][new]
        confidence[window][new] = confidence[window].mean()
        known[window] = True
    return work.astype(np.uint8)


def _whole_patches(known: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Centres whose whole patch lies inside the picture and outside the hole."""
    side = 2 * RADIUS + 1
    views = np.lib.stride_tricks.sliding_window_view(known, (side, side))
    out = np.zeros_like(known)
    out[RADIUS:-RADIUS, RADIUS:-RADIUS] = views.all(axis=(2, 3))
    return out


def _next_place(
    work: npt.NDArray[np.int32], known: npt.NDArray[np.bool_], confidence: Floats
) -> tuple[int, int]:
    padded = np.pad(known, 1, constant_values=False)
    beside = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    edge = np.argwhere(~known & beside)
    grey = np.where(known, work.sum(axis=2), 0)
    best, place = -1.0, (0, 0)
    for y, x in edge:
        window = (
            slice(max(y - RADIUS, 0), y + RADIUS + 1),
            slice(max(x - RADIUS, 0), x + RADIUS + 1),
        )
        sure = confidence[window].sum() / (2 * RADIUS + 1) ** 2
        part, there = grey[window], known[window]
        flow_y, flow_x = _structure(part, there)
        normal_y, normal_x = _outwards(there)
        data = abs(flow_y * normal_y + flow_x * normal_x) / 765.0
        score = round(float(sure * (data + 0.02)), 9)
        if score > best:
            best, place = score, (int(y), int(x))
    return place


def _structure(part: npt.NDArray[np.int32], there: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """The strongest edge direction among the known pixels of a patch: along it, not across."""
    down = np.where(there[1:, :-1] & there[:-1, :-1], part[1:, :-1] - part[:-1, :-1], 0)
    right = np.where(there[:-1, 1:] & there[:-1, :-1], part[:-1, 1:] - part[:-1, :-1], 0)
    if not down.size:
        return 0.0, 0.0
    index = int((down * down + right * right).argmax())
    return -float(right.ravel()[index]), float(down.ravel()[index])


def _outwards(there: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """The unit direction from the known part of a patch to the unknown part."""
    unknown, seen = np.argwhere(~there), np.argwhere(there)
    if not len(unknown) or not len(seen):
        return 0.0, 0.0
    y, x = unknown.mean(axis=0) - seen.mean(axis=0)
    length = max(float(np.hypot(y, x)), 1e-9)
    return float(y) / length, float(x) / length


def _best_source(
    work: npt.NDArray[np.int32],
    known: npt.NDArray[np.bool_],
    sources: npt.NDArray[np.bool_],
    y: int,
    x: int,
    window: tuple[slice, slice],
) -> tuple[int, int]:
    """The centre of the source patch that is most like the known pixels around ``(y, x)``."""
    top, bottom = max(RADIUS, y - SEARCH), min(work.shape[0] - RADIUS, y + SEARCH + 1)
    left, right = max(RADIUS, x - SEARCH), min(work.shape[1] - RADIUS, x + SEARCH + 1)
    cost = np.zeros((bottom - top, right - left), dtype=np.int32)
    for wy in range(window[0].start, window[0].stop):
        for wx in range(window[1].start, window[1].stop):
            if known[wy, wx]:
                dy, dx = wy - y, wx - x
                there = work[top + dy : bottom + dy, left + dx : right + dx]
                apart = there - work[wy, wx]
                cost += np.einsum("yxc,yxc->yx", apart, apart)
    cost = np.where(sources[top:bottom, left:right], cost, np.iinfo(np.int32).max)
    best = int(cost.argmin())
    return top + best // cost.shape[1], left + best % cost.shape[1]
