"""Medians, spreads, and ratios with intervals, of times that were taken in turns.

A machine gets faster and slower while it measures. What ran in the same round saw the same
machine, so contestants are compared round by round: the ratio of their medians in each round, and
the median of those ratios. How sure that is comes from the bootstrap over rounds (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13: the percentile interval).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from parity.latency.results import Interval, Series, Summary

RESAMPLES = 2000
CONFIDENCE = 0.95
LEAST_ROUNDS = 5  # of fewer rounds an interval says nothing


def summarise(samples_ns: Sequence[int]) -> Summary:
    """Percentiles (linear between neighbours) and spread of at least one sample, in ns."""
    times = np.asarray(samples_ns, np.float64)
    q25, median, q75, p90, p99 = np.percentile(times, (25, 50, 75, 90, 99)).tolist()
    return Summary(
        samples=len(samples_ns),
        median_ns=median,
        p90_ns=p90,
        p99_ns=p99,
        least_ns=float(times.min()),
        iqr_ns=q75 - q25,
        mad_ns=float(np.median(np.abs(times - median))),
        per_second=1e9 / median,
    )


def round_medians(series: Iterable[Series]) -> dict[int, float]:
    """The median time of each round over all given processes, in ns."""
    by_round: dict[int, list[int]] = defaultdict(list)
    for one in series:
        for number, sample in zip(one.rounds, one.samples_ns, strict=True):
            by_round[number].append(sample)
    return {number: float(np.median(found)) for number, found in sorted(by_round.items())}


def paired_ratio(
    candidate: Mapping[int, float], baseline: Mapping[int, float], *, seed: int
) -> Interval:
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
    return Interval(
        estimate=math.exp(estimate),
        low=math.exp(min(float(low), estimate)),
        high=math.exp(max(float(high), estimate)),
    )


def noise_floor(noise: Interval) -> float:
    """How far from 1 an A/A interval reaches, as a factor of 1 or more."""
    return max(noise.high, 1.0 / noise.low, 1.0)


def is_within_noise(ratio: Interval, floors: Iterable[float]) -> bool:
    """Whether a ratio is no more than noise.

    Args:
        ratio: of two contestants.
        floors: the A/A floors of both, as `noise_floor` gives them.
    """
    if ratio.low <= 1.0 <= ratio.high:
        return True
    return max(ratio.estimate, 1.0 / ratio.estimate) <= max(floors)
