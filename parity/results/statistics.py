"""Medians and ratios with intervals that assume nothing of how times are distributed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, fmean, median, stdev

import numpy as np

MOST = 200  # samples of a side; of more, evenly spread ones are taken
RESAMPLES = 2000
CONFIDENCE = 0.95
LEAST_ROUNDS = 5  # of fewer rounds an interval says nothing


@dataclass(frozen=True)
class Interval:
    """An estimate and where the true value lies.

    Attributes:
        low, high: the interval's ends.
        median: the estimate.
        samples: how many there were, of the side with fewer.
    """

    low: float
    median: float
    high: float
    samples: int


@dataclass(frozen=True)
class Spread:
    """An estimate with its 95 % bootstrap interval.

    Attributes:
        estimate: the median over the rounds.
        low, high: the interval's ends.
    """

    estimate: float
    low: float
    high: float


def median_interval(samples: Sequence[float], confidence: float) -> Interval | None:
    """The median of independent samples, and its interval; None where they are too few.

    The k-th smallest and the k-th largest of n samples enclose the median of the distribution
    with probability ``1 - 2 * P(B < k)``, B binomial (n, 1/2), whatever the distribution is
    (David and Nagaraja, Order Statistics, section 7.1).

    Args:
        samples: numbers; one that is not finite gives None.
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
    """By which factor new samples are larger than old ones; None where there are too few.

    The median of all pairwise ratios (Hodges and Lehmann's estimate on logarithms) with the
    interval that belongs to the Mann-Whitney test (Hollander and Wolfe, Nonparametric Statistical
    Methods, section 4.3; the normal approximation of its rank). It supposes that the two runs
    differ by a factor, and nothing of how either is distributed.

    Args:
        new: positive numbers; one that is not positive and finite gives None.
        old: likewise, of another run.
        confidence: 0.5 or more, less than 1.
    """
    if not all(0.0 < value < math.inf for value in (*new, *old)):
        return None
    ours, theirs = ([math.log(value) for value in _spread(side)] for side in (new, old))
    pairs = len(ours) * len(theirs)
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    rank = math.floor(pairs / 2.0 - z * math.sqrt(pairs * (len(ours) + len(theirs) + 1) / 12.0))
    if rank < 1:
        return None
    ratios = sorted(a - b for a in ours for b in theirs)
    ends = ratios[rank - 1], median(ratios), ratios[-rank]
    low, middle, high = map(math.exp, ends)
    return Interval(low, middle, high, min(len(new), len(old)))


def least_mean_ratio(new: Sequence[float], old: Sequence[float], confidence: float) -> float:
    """What ``mean(new) / mean(old)`` is at least; minus infinity where too few pairs can tell.

    The one-sided end of the ratio estimator's interval for pairs, by its linearised variance
    (Cochran, Sampling Techniques, section 6.4) and Student's t with n - 1 degrees of freedom.

    Args:
        new: positive numbers, one a case.
        old: the same cases' numbers, in the same order.
        confidence: 0.5 or more, less than 1.
    """
    count, base = len(new), fmean(old)
    if count < 2:
        return -math.inf
    if base == 0.0:
        return math.inf if fmean(new) > 0.0 else -math.inf
    ratio = fmean(new) / base
    squares = sum((ours - ratio * theirs) ** 2 for ours, theirs in zip(new, old, strict=True))
    error = math.sqrt(squares / (count * (count - 1))) / base
    return ratio - _student(count - 1, confidence) * error


def least_mean(values: Sequence[float], confidence: float) -> float:
    """What the mean of independent values is at least; minus infinity for fewer than two.

    The one-sided end of Student's interval.

    Args:
        values: a number each case.
        confidence: 0.5 or more, less than 1.
    """
    if len(values) < 2:
        return -math.inf
    error = stdev(values) / math.sqrt(len(values))
    return fmean(values) - _student(len(values) - 1, confidence) * error


def paired_ratio(
    candidate: Mapping[int, float], baseline: Mapping[int, float], *, seed: int
) -> Spread:
    """The median over rounds of candidate / baseline, with its bootstrap interval.

    Args:
        candidate: a time for each round.
        baseline: the same for the same rounds.
        seed: of the resampling, so that the same samples give the same interval.

    Raises:
        ValueError: the rounds are not the same, or fewer than `LEAST_ROUNDS`.
    """
    if candidate.keys() != baseline.keys() or len(candidate) < LEAST_ROUNDS:
        raise ValueError(
            f"{len(candidate)} and {len(baseline)} rounds; the same {LEAST_ROUNDS} or more needed"
        )
    # Logarithms, so that a/b and b/a are judged alike.
    logs = np.array([math.log(candidate[n] / baseline[n]) for n in sorted(candidate)])
    draws = np.random.default_rng(seed).integers(0, len(logs), (RESAMPLES, len(logs)))
    medians = np.median(logs[draws], axis=1)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(medians, (tail, 100 - tail))
    estimate = float(np.median(logs))
    return Spread(
        estimate=math.exp(estimate),
        low=math.exp(min(float(low), estimate)),
        high=math.exp(max(float(high), estimate)),
    )


def noise_floor(noise: Spread) -> float:
    """How far from 1 an A/A interval reaches, as a factor of 1 or more."""
    return max(noise.high, 1.0 / noise.low, 1.0)


def is_within_noise(ratio: Spread, floors: Iterable[float]) -> bool:
    """Whether a ratio is no more than noise.

    Args:
        ratio: of two contestants.
        floors: the A/A floors of both, as `noise_floor` gives them.
    """
    if ratio.low <= 1.0 <= ratio.high:
        return True
    return max(ratio.estimate, 1.0 / ratio.estimate) <= max(floors)


def _student(freedom: int, confidence: float) -> float:
    """A quantile of Student's t (Abramowitz and Stegun, 26.7.5: 2 % off at 3, exact at 1 and 2)."""
    if freedom == 1:
        return math.tan(math.pi * (confidence - 0.5))
    if freedom == 2:
        return (2.0 * confidence - 1.0) / math.sqrt(2.0 * confidence * (1.0 - confidence))
    z = NormalDist().inv_cdf(confidence)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))


def _spread(samples: Sequence[float]) -> Sequence[float]:
    """At most `MOST` samples, evenly over the run: a machine's drift stays in them."""
    step = len(samples) / MOST
    return samples if step <= 1.0 else [samples[int(n * step)] for n in range(MOST)]


@cache
def _rank(count: int, confidence: float) -> int:
    """The largest k whose interval still has the confidence, or 0 where even k = 1 has it not."""
    rank, tail = 0, 0.0
    for k in range(1, count // 2 + 1):
        tail += math.comb(count, k - 1) / 2.0**count
        if 1.0 - 2.0 * tail < confidence:
            break
        rank = k
    return rank
