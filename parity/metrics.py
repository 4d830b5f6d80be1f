"""How far a candidate is from a reference: numbers only, no verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Errors:
    """The distance of one array from its reference, computed in float64.

    Attributes:
        mae: mean of ``|candidate - reference|``.
        max_abs: its maximum.
        p99_abs: its 99th percentile.
        rel_l2: ``||candidate - reference|| / ||reference||`` (0/0 is 0, x/0 is infinite).
    """

    mae: float
    max_abs: float
    p99_abs: float
    rel_l2: float


def measure(candidate: Array, reference: Array) -> Errors:
    """Measure one array against another of exactly the same shape.

    Raises:
        ValueError: the shapes differ or the arrays are empty: nothing is broadcast.
    """
    if candidate.shape != reference.shape or candidate.size == 0:
        raise ValueError(f"cannot compare shapes {candidate.shape} and {reference.shape}")
    reference64 = reference.astype(np.float64)
    difference = np.abs(candidate.astype(np.float64) - reference64).ravel()
    norm = float(np.linalg.norm(reference64))
    distance = float(np.linalg.norm(difference))
    ratio = distance / norm if norm else (0.0 if distance == 0.0 else math.inf)
    return Errors(
        mae=float(difference.mean()),
        max_abs=float(difference.max()),
        p99_abs=percentile_99(difference),
        rel_l2=ratio,
    )


def mean_absolute_error(candidate: Array, reference: Array) -> float:
    """The mean of ``|candidate - reference|`` over arrays of the same shape, in float64.

    Raises:
        ValueError: the shapes differ or the arrays are empty.
    """
    if candidate.shape != reference.shape or candidate.size == 0:
        raise ValueError(f"cannot compare shapes {candidate.shape} and {reference.shape}")
    return float(np.abs(candidate.astype(np.float64) - reference.astype(np.float64)).mean())


def percentile_99(values: npt.NDArray[np.float64]) -> float:
    """The least value that at least 99 % of ``values`` do not exceed (no interpolation)."""
    rank = max(math.ceil(0.99 * values.size) - 1, 0)
    return float(np.partition(values, rank)[rank])


def accuracy_ratio(candidate_mae: float, source_mae: float) -> float:
    """``mae(candidate, float64) / mae(PyTorch float32, float64)``: 1.0 is as good as the source.

    Both zero is 1.0; a source without error and a candidate with one is infinite; NaN stays NaN.
    """
    if source_mae == 0.0:
        return 1.0 if candidate_mae == 0.0 else math.inf if candidate_mae > 0.0 else math.nan
    return candidate_mae / source_mae
