"""How far a candidate is from a reference, in values and in decisions: numbers, no verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.export.networks.spec import Judged
from trufor_onnx.parity.results.rows import Values

Array = npt.NDArray[Any]
Outcome = Mapping[str, float | bool]
THRESHOLD = 0.5
# How the outcomes of many images become one figure: the worst of them, or how many.
LABELS = "labels_differ"
WORST = {"difference": max, "flip_distance": max, "flipped_share": max, "iou": min, LABELS: max}
# A share of labels that rounding may change where PyTorch float32 changed none: two classes lie
# within 1e-6 of each other in less than one of 300,000 pixels (Argmax, 3.1 million: in none).
LABELS_FLOOR = 1e-5


@dataclass(frozen=True)
class Errors:
    """The distance of one array from its reference, computed in float64.

    A NaN in either array makes every figure NaN. Of labels (`are_labels`) the distance is 1 where
    they differ and 0 elsewhere: ``mae`` is the share that differs, ``rel_l2`` its root.

    Attributes:
        mae: mean of ``|candidate - reference|``.
        max_abs: its maximum.
        p99_abs: its 99th percentile.
        rel_l2: ``||candidate - reference|| / ||reference||`` (0/0 is 0, x/0 is infinite).
        bias: mean of ``candidate - reference``, with its sign.
    """

    mae: float
    max_abs: float
    p99_abs: float
    rel_l2: float
    bias: float


def measure(candidate: Array, reference: Array) -> Errors:
    """Measure one array against another of exactly the same shape.

    Raises:
        ValueError: the shapes differ or the arrays are empty: nothing is broadcast.
    """
    difference = _difference(candidate, reference).ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        bias = 0.0 if are_labels(reference) else float(difference.mean())
    np.abs(difference, out=difference)
    with np.errstate(over="ignore"):  # a distance beyond float64 is infinite, and fails
        scale = np.ones_like(difference) if are_labels(reference) else reference.ravel()
        norm = float(np.linalg.norm(scale.astype(np.float64, copy=False)))
        distance = float(np.linalg.norm(difference))
        mae = float(difference.mean())
    ratio = distance / norm if norm else (0.0 if distance == 0.0 else distance * math.inf)
    return Errors(
        mae=mae,
        max_abs=float(difference.max()),
        p99_abs=percentile_99(difference),
        rel_l2=ratio,
        bias=bias,
    )


def are_labels(array: Array) -> bool:
    """Whether an output is labels, counts or a mask: whole numbers, which are right or wrong.

    How far label 3 is from label 7 means nothing.
    """
    return array.dtype.kind in "iub"


def values_of(array: Array) -> Values | None:
    """What an array's values are like; None of none, and where a figure would not be finite."""
    if array.size == 0:
        return None
    given = array.astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        low, high, mean, std = given.min(), given.max(), given.mean(), given.std()
    figures = float(low), float(high), float(mean), float(std)
    return Values(array.size, *figures) if all(map(math.isfinite, figures)) else None


def values_digest(array: Array) -> str:
    """SHA-256 of an array's type, shape and values."""
    head = f"{array.dtype.str} {array.shape} ".encode()
    digest = sha256(head)
    digest.update(np.ascontiguousarray(array).reshape(-1).data)
    return digest.hexdigest()


def mean_absolute_error(candidate: Array, reference: Array) -> float:
    """The mean of ``|candidate - reference|`` over arrays of the same shape, in float64.

    Raises:
        ValueError: the shapes differ or the arrays are empty.
    """
    return float(np.abs(_difference(candidate, reference)).mean())


def percentile_99(values: npt.NDArray[np.float64]) -> float:
    """The least of ``values`` that at least 99 % of them do not exceed (no interpolation).

    Raises:
        ValueError: there are none.
    """
    if values.size == 0:
        raise ValueError("no values have no percentile")
    rank = (99 * values.size + 99) // 100 - 1  # ceil(0.99 n), without rounding 0.99
    ordered = np.partition(values, (rank, values.size - 1))
    # A NaN is sorted to the end, where a percentile alone would not see it.
    return math.nan if np.isnan(ordered[-1]) else float(ordered[rank])


def accuracy_ratio(candidate_mae: float, source_mae: float) -> float:
    """``mae(candidate, float64) / mae(PyTorch float32, float64)``: 1.0 is as good as the source.

    Both zero is 1.0; a source without error and a candidate with one is infinite; NaN stays NaN.
    """
    if source_mae == 0.0:
        return 1.0 if candidate_mae == 0.0 else candidate_mae * math.inf
    return candidate_mae / source_mae


def _difference(candidate: Array, reference: Array) -> npt.NDArray[np.float64]:
    """``candidate - reference`` in float64, for equal shapes only; of labels 1 or 0."""
    if candidate.shape != reference.shape or candidate.size == 0:
        raise ValueError(f"cannot compare shapes {candidate.shape} and {reference.shape}")
    if are_labels(reference):
        differs: npt.NDArray[np.float64] = (candidate != reference).astype(np.float64)
        return differs
    with np.errstate(invalid="ignore", over="ignore"):  # inf - inf is NaN, and NaN fails
        difference = candidate.astype(np.float64)
        difference -= reference
    return difference


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
