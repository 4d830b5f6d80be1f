"""Differences as decisions: what changes for the person who acts on the result."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from export.spec import Judged

Array = npt.NDArray[Any]
THRESHOLD = 0.5


def outcome(
    judged: Judged, output: str, candidate: Array, reference: Array
) -> dict[str, float | bool]:
    """How the decisions of one output differ; empty for outputs that nobody acts on.

    Args:
        judged: which outputs are decisions.
        output: the output's name.
        candidate: what the backend gave, 0..1.
        reference: what the float64 network gave, 0..1.

    Returns:
        For the score: ``difference`` (largest, 0..1) and ``flipped`` (the decision at 0.5
        changes). For a map: ``iou`` of the thresholded maps and ``flipped_share`` of pixels.
    """
    if candidate.shape != reference.shape or candidate.size == 0:
        return {}
    ours, theirs = candidate > THRESHOLD, reference > THRESHOLD
    if output == judged.score:
        difference = float(np.abs(candidate.astype(np.float64) - reference).max())
        return {"difference": difference, "flipped": bool((ours != theirs).any())}
    if output in judged.maps:
        return {
            "iou": intersection_over_union(ours, theirs),
            "flipped_share": float((ours != theirs).mean()),
        }
    return {}


def intersection_over_union(
    candidate: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]
) -> float:
    """Shared area over joint area, 0..1; two empty maps agree fully (1.0)."""
    union = int((candidate | reference).sum())
    return float((candidate & reference).sum()) / union if union else 1.0
