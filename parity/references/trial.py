"""The case on which a reference is proven reproducible and the yardstick is chosen."""

from __future__ import annotations

from collections.abc import Sequence

from parity.cases import Case

LEAST_TRIAL = 64  # pixels a side


def trial_case(shapes: Sequence[Case]) -> Case:
    """The smallest of the shape matrix, but none so small that borders outweigh content."""
    return min(shapes, key=_order)


def _order(case: Case) -> tuple[bool, int]:
    height, width = case.size or (0, 0)
    return min(height, width) < LEAST_TRIAL, height * width * len(case.pictures)
