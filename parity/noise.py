"""Medians with an interval that assumes nothing of how times are distributed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Interval:
    """A median and where the true one lies.

    Attributes:
        low, high: order statistics that enclose the true median with the confidence asked for.
        median: of the samples.
        samples: how many there were.
    """

    low: float
    median: float
    high: float
    samples: int


def median_interval(samples: Sequence[float], confidence: float) -> Interval | None:
    """The median of independent samples, and its interval; None where they are too few.

    The k-th smallest and the k-th largest of n samples enclose the median of the distribution
    with probability ``1 - 2 * P(B < k)``, B binomial (n, 1/2), whatever the distribution is
    (David and Nagaraja, Order Statistics, section 7.1).

    Args:
        samples: finite numbers.
        confidence: 0.5 or more, less than 1.
    """
    ordered = sorted(samples)
    rank = _rank(len(ordered), confidence)
    if rank == 0 or not all(map(math.isfinite, ordered)):
        return None
    return Interval(ordered[rank - 1], median(ordered), ordered[-rank], len(ordered))


def ratio_interval(
    new: Sequence[float], old: Sequence[float], confidence: float
) -> Interval | None:
    """The ratio of two medians, new over old, and its interval; None where samples are too few.

    Both medians' intervals hold at once with the confidence asked for (Bonferroni).

    Args:
        new: positive numbers.
        old: likewise, of another run.
        confidence: that the true ratio lies in the interval.
    """
    each = 1.0 - (1.0 - confidence) / 2.0
    above, beneath = median_interval(new, each), median_interval(old, each)
    if above is None or beneath is None or beneath.low <= 0.0:
        return None
    return Interval(
        above.low / beneath.high,
        above.median / beneath.median,
        above.high / beneath.low,
        min(above.samples, beneath.samples),
    )


def median(ordered: Sequence[float]) -> float:
    """The middle of sorted numbers, or the mean of the middle two."""
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2.0


@cache
def _rank(count: int, confidence: float) -> int:
    """The largest k whose interval still has the confidence, or 0 where even k = 1 has it not."""
    rank, tail = 0, 0.0
    for k in range(1, (count + 1) // 2 + 1):
        tail += math.comb(count, k - 1) / 2.0**count
        if 1.0 - 2.0 * tail < confidence:
            break
        rank = k
    return rank
