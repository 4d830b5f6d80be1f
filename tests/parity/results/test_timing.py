"""What is said of times must follow from them, however they lie."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trufor_onnx.parity.results.timing import (
    LEAST_ROUNDS,
    Series,
    Spread,
    is_within_noise,
    noise_floor,
    paired_ratio,
    round_medians,
    summarise,
)

TIMES = st.integers(1, 10**12)
ROUNDS = st.lists(st.tuples(TIMES, TIMES), min_size=LEAST_ROUNDS, max_size=30)


@settings(deadline=None)
@given(st.lists(TIMES, min_size=1, max_size=60))
def test_a_summary_is_within_its_samples_and_in_order(samples: list[int]) -> None:
    found = summarise(samples)
    assert found.samples == len(samples)
    assert found.median_ns == pytest.approx(statistics.median(samples))
    assert min(samples) == found.least_ns <= found.median_ns * (1 + 1e-12)
    assert found.median_ns <= found.p90_ns * (1 + 1e-12) <= found.p99_ns * (1 + 1e-12) ** 2
    assert found.p99_ns <= max(samples) * (1 + 1e-12)
    assert 0 <= found.mad_ns <= max(samples) - min(samples)
    assert 0 <= found.iqr_ns <= max(samples) - min(samples)
    assert found.per_second == pytest.approx(1e9 / found.median_ns)


@settings(deadline=None)
@given(st.lists(TIMES, min_size=1, max_size=60))
def test_a_summary_does_not_depend_on_the_order(samples: list[int]) -> None:
    assert summarise(sorted(samples)) == summarise(samples[::-1]) == summarise(samples)


def test_a_summary_by_hand() -> None:
    found = summarise([10, 20, 30, 40, 50])
    assert (found.median_ns, found.iqr_ns, found.mad_ns, found.least_ns) == (30, 20, 10, 10)
    assert found.p90_ns == pytest.approx(46)


@settings(deadline=None, max_examples=50)
@given(ROUNDS, st.integers(0, 2**32 - 1))
def test_the_interval_holds_the_estimate_and_turns_over_with_the_sides(
    times: list[tuple[int, int]], seed: int
) -> None:
    first = {number: float(a) for number, (a, _) in enumerate(times)}
    second = {number: float(b) for number, (_, b) in enumerate(times)}
    found = paired_ratio(first, second, seed=seed)
    assert 0 < found.low <= found.estimate <= found.high < math.inf
    ratios = [a / b for a, b in times]
    assert min(ratios) * 0.999 <= found.low and found.high <= max(ratios) * 1.001
    assert paired_ratio(first, second, seed=seed) == found
    turned = paired_ratio(second, first, seed=seed)
    assert turned.estimate == pytest.approx(1 / found.estimate)


@settings(deadline=None, max_examples=50)
@given(st.lists(TIMES, min_size=LEAST_ROUNDS, max_size=20), st.floats(0.01, 100))
def test_a_machine_that_drifts_does_not_move_a_constant_ratio(
    drift: list[int], factor: float
) -> None:
    """Every round has another speed, the same for both sides."""
    base = {number: float(speed) for number, speed in enumerate(drift)}
    found = paired_ratio({n: factor * t for n, t in base.items()}, base, seed=0)
    for value in (found.estimate, found.low, found.high):
        assert value == pytest.approx(factor)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """200 contests of known ratio 1.1 with 10 % noise a round; 95 % is about 190."""
    numbers = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        logs = numbers.normal(math.log(1.1), 0.1, 25)
        candidate = {n: math.exp(value) for n, value in enumerate(logs)}
        found = paired_ratio(candidate, dict.fromkeys(candidate, 1.0), seed=seed)
        covered += found.low <= 1.1 <= found.high
    assert covered >= 178


def test_other_rounds_or_too_few_are_refused() -> None:
    enough = dict.fromkeys(range(LEAST_ROUNDS), 1.0)
    few = dict.fromkeys(range(LEAST_ROUNDS - 1), 1.0)
    others = dict.fromkeys(range(1, LEAST_ROUNDS + 1), 1.0)
    for pair in ((few, few), (enough, others), (enough, few), ({}, {})):
        with pytest.raises(ValueError, match="rounds"):
            paired_ratio(*pair, seed=0)


def test_a_round_s_median_is_over_all_processes() -> None:
    first = Series("a", 0, 0, (0, 0, 1), (10, 30, 100))
    second = Series("b", 0, 0, (0, 1), (20, 300))
    assert round_medians([first, second]) == {0: 20.0, 1: 200.0}


def test_the_floor_is_the_farther_end_as_a_factor() -> None:
    assert noise_floor(Spread(1.0, 0.5, 1.1)) == 2.0
    assert noise_floor(Spread(1.01, 0.99, 1.25)) == 1.25
    assert noise_floor(Spread(1.0, 1.0, 1.0)) == 1.0


@pytest.mark.parametrize(
    ("ratio", "floors", "within"),
    [
        (Spread(1.2, 1.1, 1.3), [1.05, 1.1], False),
        (Spread(1.2, 1.1, 1.3), [1.05, 1.21], True),  # two alike things differ as much
        (Spread(1.2, 0.9, 1.3), [1.0, 1.0], True),
        (Spread(0.8, 0.7, 0.9), [1.05, 1.1], False),
        (Spread(0.8, 0.7, 0.9), [1.26], True),
        (Spread(1.0, 1.0, 1.0), [1.0], True),
    ],
)
def test_what_is_no_more_than_noise(ratio: Spread, floors: list[float], within: bool) -> None:
    assert is_within_noise(ratio, floors) is within
