"""What changes for the person who acts on the result."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.export.networks.spec import Judged
from trufor_onnx.parity.results.metrics import (
    flip_problem,
    intersection_over_union,
    outcome,
    worst_outcome,
)

JUDGED = Judged(score="score", maps=("map", "conf"))


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
