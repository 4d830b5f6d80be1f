"""Intervals hold what they promise, by their own definition and by trial."""

from __future__ import annotations

import math
import random
from itertools import product
from statistics import median

import numpy as np
import pytest

from trufor_onnx.parity.results import statistics as noise
from trufor_onnx.parity.results.statistics import least_mean_ratio, median_interval, ratio_interval


def test_the_median_s_interval_has_the_confidence_by_counting() -> None:
    """Every pattern of 8 samples below or above the median, each as probable as the others."""
    count, confidence = 8, 0.95
    found = median_interval(range(count), confidence)
    assert found is not None
    rank = int(found.low) + 1
    missed = sum(not rank <= sum(p) <= count - rank for p in product((0, 1), repeat=count))
    assert missed / 2**count <= 1 - confidence
    worse = rank + 1
    missed = sum(not worse <= sum(p) <= count - worse for p in product((0, 1), repeat=count))
    assert missed / 2**count > 1 - confidence  # no narrower one has it


@pytest.mark.parametrize(("count", "possible"), [(0, False), (5, False), (7, False), (8, True)])
def test_too_few_samples_have_no_interval(count: int, possible: bool) -> None:
    samples = [1.0 + n / 100 for n in range(count)]
    assert (median_interval(samples, 0.99) is not None) is possible


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0])
def test_a_time_that_is_none_gives_no_ratio(bad: float) -> None:
    good = [1.0] * 20
    assert ratio_interval([*good, bad], good, 0.9) is None
    assert ratio_interval(good, [bad, *good], 0.9) is None


def test_the_ratio_of_alike_samples_is_one() -> None:
    samples = [1.0 + n / 100 for n in range(20)]
    found = ratio_interval(samples, samples, 0.99)
    assert found is not None
    assert found.median == pytest.approx(1.0) and found.low < 1.0 < found.high
    doubled = ratio_interval([2 * value for value in samples], samples, 0.99)
    assert doubled is not None and doubled.median == pytest.approx(2.0)


def test_outliers_do_not_move_it() -> None:
    samples = [1.0 + n / 100 for n in range(20)]
    found = ratio_interval([*samples[:-2], 1e6, 1e9], samples, 0.99)
    assert found is not None and found.low < 1.0 < found.high


def test_the_true_ratio_is_inside_as_often_as_promised() -> None:
    draw = random.Random(0)
    inside, trials = 0, 400
    for _ in range(trials):
        new = [1.3 * math.exp(draw.gauss(0, 0.2)) for _ in range(15)]
        old = [math.exp(draw.gauss(0, 0.2)) for _ in range(15)]
        found = ratio_interval(new, old, 0.9)
        assert found is not None
        inside += found.low <= 1.3 <= found.high
    assert 0.86 <= inside / trials <= 0.94  # 3 standard deviations of 400 trials about 0.9


def test_many_samples_are_thinned_evenly() -> None:
    rising = [1.0 + n / 1e4 for n in range(10_000)]
    found = ratio_interval(rising, [1.0] * 10, 0.9)
    assert found is not None
    assert found.median == pytest.approx(median(rising), rel=0.01)


# Student's t, one-sided 99 %, from the usual tables.
QUANTILES = {1: 31.82, 2: 6.965, 3: 4.541, 4: 3.747, 9: 2.821, 23: 2.500, 1000: 2.330}


@pytest.mark.parametrize("freedom", QUANTILES)
def test_student_s_quantiles(freedom: int) -> None:
    assert noise._student(freedom, 0.99) == pytest.approx(QUANTILES[freedom], rel=0.02)


def test_the_least_mean_ratio_is_seldom_over_the_true_one() -> None:
    """Pairs whose errors are luck, as `mit_b2/fused_0`: at 99 % about one run in a hundred."""
    rng = np.random.default_rng(1)
    runs = rng.lognormal(0.0, 0.5, (2000, 2, 24))
    over = sum(least_mean_ratio(new, old, 0.99) > 1.0 for new, old in runs.tolist())
    assert over < 40


def test_a_steady_ratio_has_no_noise() -> None:
    old = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert least_mean_ratio([1.2 * v for v in old], old, 0.99) == pytest.approx(1.2)
    assert least_mean_ratio([1.0], [0.1], 0.99) == -math.inf
