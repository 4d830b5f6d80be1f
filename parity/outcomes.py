"""Differences as decisions: what changes for the person who acts on the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from export.spec import Judged
from parity.metrics import are_labels

Array = npt.NDArray[Any]
Outcome = Mapping[str, float | bool]
THRESHOLD = 0.5
# How the outcomes of many images become one figure: the worst of them, or how many.
LABELS = "labels_differ"
WORST = {"difference": max, "flip_distance": max, "flipped_share": max, "iou": min, LABELS: max}
# A share of labels that rounding may change where PyTorch float32 changed none: two classes lie
# within 1e-6 of each other in less than one of 300,000 pixels (Argmax, 3.1 million: in none).
LABELS_FLOOR = 1e-5


def outcome(judged: Judged, output: str, candidate: Array, reference: Array) -> Outcome:
    """How the decisions of one output differ; empty for outputs that nobody acts on.

    Args:
        judged: which outputs are decisions.
        output: the output's name.
        candidate: what the backend gave, 0..1.
        reference: what the float64 network gave, 0..1, of the same shape.

    Returns:
        For the score: ``difference`` (largest, 0..1), ``flipped`` (the decision at 0.5 changes)
        and ``flip_distance`` (how far from 0.5 the reference was where it did, 0.0 if nowhere).
        For a map: ``iou`` of the thresholded maps and ``flipped_share`` of pixels.
        For labels, acted on or not: ``labels_differ``, the share that is another.
    """
    if candidate.shape != reference.shape or candidate.size == 0:
        return {}
    if are_labels(reference):
        return {LABELS: float((candidate != reference).mean())}
    ours, theirs = candidate > THRESHOLD, reference > THRESHOLD
    flipped = ours != theirs
    if judged.score and output == judged.score:
        distance = np.abs(reference.astype(np.float64) - THRESHOLD)
        return {
            "difference": float(np.abs(candidate.astype(np.float64) - reference).max()),
            "flipped": bool(flipped.any()),
            "flip_distance": float(np.where(flipped, distance, 0.0).max()),
        }
    if output in judged.maps:
        return {
            "iou": intersection_over_union(ours, theirs),
            "flipped_share": float(flipped.mean()),
        }
    return {}


def flip_problem(found: Outcome, allowed: float) -> str:
    """Why a changed decision is a failure, or "" where it is rounding at the threshold itself.

    Args:
        found: what `outcome` gave.
        allowed: how near 0.5 the reference must have been.
    """
    distance = found.get("flip_distance", 0.0)
    if not found.get("flipped", False) or distance <= allowed:
        return ""
    return f"the decision at {THRESHOLD} is another one, {distance:.3g} from the threshold"


def worst_outcome(found: Iterable[Outcome]) -> dict[str, float | int]:
    """Many images' outcomes as one: ``flipped`` counted, of every figure the worst."""
    rows = [row for row in found if row]
    worst: dict[str, float | int] = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row[name] for row in rows if name in row]
        worst[name] = sum(values) if name == "flipped" else WORST[name](values)
    return worst


def intersection_over_union(
    candidate: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]
) -> float:
    """Shared area over joint area, 0..1; two empty maps agree fully (1.0)."""
    union = int((candidate | reference).sum())
    return float((candidate & reference).sum()) / union if union else 1.0
