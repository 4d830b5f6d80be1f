"""How far two arrays are apart, by two measures that catch a spread and a local difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Error:
    """A difference from a reference.

    Attributes:
        rel_l2: root of the sum of squared differences, over that of the reference's squares.
        max_abs: the largest difference.
    """

    rel_l2: float
    max_abs: float


def error_of(found: Array, reference: Array) -> Error:
    """The difference of two arrays of one shape; infinite where ``found`` is not finite.

    Args:
        found: any floating-point type.
        reference: float64, finite.
    """
    if found.shape != reference.shape:
        raise ValueError(f"shapes {found.shape} and {reference.shape}")
    with np.errstate(invalid="ignore", over="ignore"):
        difference = found.astype(np.float64) - reference
        if not np.isfinite(difference).all():
            return Error(float("inf"), float("inf"))
    size = float(np.linalg.norm(reference))
    distance = float(np.linalg.norm(difference))
    relative = distance / size if size else (0.0 if distance == 0.0 else float("inf"))
    return Error(relative, float(np.abs(difference).max(initial=0.0)))
