"""Distances agree with numpy and see NaN; what changes for the person who acts."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trufor_onnx.export.networks.spec import Judged
from trufor_onnx.parity.results.metrics import (
    accuracy_ratio,
    flip_problem,
    intersection_over_union,
    mean_absolute_error,
    measure,
    outcome,
    percentile_99,
    worst_outcome,
)

NUMBERS = {"min_value": -1048576, "max_value": 1048576, "allow_nan": False}
ARRAYS = hnp.arrays(
    np.float32, hnp.array_shapes(max_dims=4, max_side=6), elements=NUMBERS, fill=st.nothing()
)
JUDGED = Judged(score="score", maps=("map", "conf"))


@given(ARRAYS, st.integers(0, 2**32 - 1))
def test_agrees_with_numpy(candidate: np.ndarray, seed: int) -> None:
    reference = np.random.default_rng(seed).standard_normal(candidate.shape)
    found = measure(candidate, reference)
    difference = np.abs(candidate.astype(np.float64) - reference)
    assert found.mae == pytest.approx(np.mean(difference), rel=1e-12)
    assert found.max_abs == np.max(difference)
    assert found.p99_abs == np.percentile(difference, 99, method="inverted_cdf")
    relative = np.linalg.norm(difference.ravel()) / np.linalg.norm(reference.ravel())
    assert found.rel_l2 == pytest.approx(relative, rel=1e-12)
    assert mean_absolute_error(candidate, reference) == found.mae


@given(ARRAYS)
def test_nothing_is_as_near_as_itself(array: np.ndarray) -> None:
    found = measure(array, array.astype(np.float64))
    assert (found.mae, found.max_abs, found.p99_abs, found.rel_l2) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("side", ["candidate", "reference"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_single_bad_value_reaches_mean_and_maximum(side: str, bad: float) -> None:
    arrays = {"candidate": np.zeros(1000, np.float32), "reference": np.zeros(1000)}
    arrays[side][500] = bad
    found = measure(**arrays)
    assert not math.isfinite(found.mae)
    assert not math.isfinite(found.max_abs)
    assert not math.isfinite(found.rel_l2)


def test_nan_reaches_every_figure_also_the_percentile_that_would_skip_it() -> None:
    candidate = np.zeros(1000, np.float32)
    candidate[3] = math.nan
    found = measure(candidate, np.zeros(1000))
    assert all(map(math.isnan, (found.mae, found.max_abs, found.p99_abs, found.rel_l2)))


def test_equal_infinities_are_no_agreement() -> None:
    infinite = np.array([math.inf, 1.0], np.float32)
    assert math.isnan(measure(infinite, infinite.astype(np.float64)).mae)


@pytest.mark.parametrize(
    ("candidate", "reference"),
    [
        ((2, 3), (3, 2)),
        ((1, 3), (3,)),
        ((1, 1, 4, 4), (1, 4, 4)),
        ((1,), (4,)),
        ((), (1,)),
        ((0,), (0,)),
        ((2, 0), (2, 0)),
    ],
)
def test_shapes_are_never_broadcast_and_nothing_is_never_compared(
    candidate: tuple[int, ...], reference: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="cannot compare shapes"):
        measure(np.zeros(candidate, np.float32), np.zeros(reference))
    with pytest.raises(ValueError, match="cannot compare shapes"):
        mean_absolute_error(np.zeros(candidate, np.float32), np.zeros(reference))


@given(st.integers(1, 1000))
def test_p99_is_the_least_value_that_99_of_100_do_not_exceed(count: int) -> None:
    values = np.random.default_rng(count).permutation(count).astype(np.float64)
    found = percentile_99(values)
    assert Fraction(int((values <= found).sum()), count) >= Fraction(99, 100)
    assert Fraction(int((values < found).sum()), count) < Fraction(99, 100)


def test_p99_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile_99(np.zeros(0))


def test_differences_are_taken_in_float64() -> None:
    reference = np.array([1.0 + 2.0**-30])
    assert measure(np.array([1.0], np.float32), reference).mae == 2.0**-30


def test_inputs_are_left_as_they_are() -> None:
    candidate, reference = np.ones(3), np.zeros(3)
    measure(candidate, reference)
    assert candidate.tolist() == [1.0, 1.0, 1.0]
    assert reference.tolist() == [0.0, 0.0, 0.0]


def test_relative_error_against_zero() -> None:
    assert measure(np.ones(2, np.float32), np.zeros(2)).rel_l2 == math.inf


@pytest.mark.parametrize(
    ("candidate", "source", "expected"),
    [(2.0, 4.0, 0.5), (0.0, 0.0, 1.0), (1e-9, 0.0, math.inf), (0.0, 1.0, 0.0)],
)
def test_accuracy_ratio(candidate: float, source: float, expected: float) -> None:
    assert accuracy_ratio(candidate, source) == expected


@pytest.mark.parametrize(("candidate", "source"), [(math.nan, 1.0), (1.0, math.nan), (math.nan, 0)])
def test_a_ratio_of_nan_is_nan(candidate: float, source: float) -> None:
    assert math.isnan(accuracy_ratio(candidate, source))


def scores(*values: float) -> np.ndarray:
    return np.array(values)


def test_a_score_that_stays_on_its_side() -> None:
    found = outcome(JUDGED, "score", scores(0.75), scores(0.625))
    assert found == {"difference": 0.125, "flipped": False, "flip_distance": 0.0}


def test_a_score_that_flips_is_told_with_its_distance_from_the_threshold() -> None:
    found = outcome(JUDGED, "score", scores(0.75, 0.5, 0.25), scores(0.875, 0.75, 0.125))
    assert found == {"difference": 0.25, "flipped": True, "flip_distance": 0.25}


@given(st.floats(0, 1), st.floats(0, 1))
def test_flipped_is_what_both_decisions_say(candidate: float, reference: float) -> None:
    found = outcome(JUDGED, "score", scores(candidate), scores(reference))
    assert found["flipped"] == ((candidate > 0.5) != (reference > 0.5))
    assert found["difference"] == abs(candidate - reference)


def test_a_flip_is_a_failure_unless_it_is_rounding_at_the_threshold() -> None:
    near = outcome(JUDGED, "score", scores(0.5001), scores(0.49999))
    far = outcome(JUDGED, "score", scores(0.51), scores(0.49))
    assert flip_problem(near, 1e-4) == ""
    assert "0.01 from the threshold" in flip_problem(far, 1e-4)
    assert flip_problem({}, 1e-4) == ""
    assert flip_problem({"flipped": True, "flip_distance": math.nan}, 1e-4) != ""


def test_maps_are_compared_at_the_threshold() -> None:
    reference = np.zeros((1, 2, 4))
    reference[0, 0] = 0.9
    candidate = reference.copy()
    candidate[0, 0, 3] = 0.1
    found = outcome(JUDGED, "map", candidate, reference)
    assert found == {"iou": 0.75, "flipped_share": 0.125}


def test_two_empty_maps_agree_and_an_empty_one_with_a_full_one_does_not() -> None:
    empty, full = np.zeros((1, 3, 3)), np.ones((1, 3, 3))
    assert outcome(JUDGED, "map", empty, empty) == {"iou": 1.0, "flipped_share": 0.0}
    assert outcome(JUDGED, "conf", empty, full) == {"iou": 0.0, "flipped_share": 1.0}
    assert outcome(JUDGED, "map", full, full) == {"iou": 1.0, "flipped_share": 0.0}


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_intersection_over_union_is_that_of_sets(pairs: list[tuple[bool, bool]]) -> None:
    first = {index for index, (one, _) in enumerate(pairs) if one}
    second = {index for index, (_, two) in enumerate(pairs) if two}
    arrays = [np.array(column) for column in zip(*pairs, strict=True)]
    expected = len(first & second) / len(first | second) if first | second else 1.0
    assert intersection_over_union(*arrays) == expected


@pytest.mark.parametrize("name", ["noiseprint", "scores", ""])
def test_outputs_that_nobody_acts_on_have_none(name: str) -> None:
    assert outcome(JUDGED, name, scores(0.1), scores(0.9)) == {}
    assert outcome(Judged(), name, scores(0.1), scores(0.9)) == {}


def test_arrays_of_other_shapes_have_no_outcome() -> None:
    assert outcome(JUDGED, "map", np.ones((1, 2)), np.ones((2, 1))) == {}
    assert outcome(JUDGED, "map", np.ones((0,)), np.ones((0,))) == {}


def test_many_images_become_the_worst_of_each_and_flips_are_counted() -> None:
    found = worst_outcome(
        [
            {"difference": 0.1, "flipped": False, "flip_distance": 0.0},
            {},
            {"difference": 0.3, "flipped": True, "flip_distance": 0.2},
            {"difference": 0.2, "flipped": True, "flip_distance": 0.1},
        ]
    )
    assert found == {"difference": 0.3, "flipped": 2, "flip_distance": 0.2}
    maps = [{"iou": 0.9, "flipped_share": 0.1}, {"iou": 0.8, "flipped_share": 0.05}]
    assert worst_outcome(maps) == {"iou": 0.8, "flipped_share": 0.1}
    assert worst_outcome([]) == worst_outcome([{}]) == {}
