"""Outputs in a few numbers: rounding is no difference, one changed element is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trufor_onnx.parity.results.sketch import ROUNDING, SUMS, apart, sketch


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal(shape)


@pytest.mark.parametrize("shape", [(1,), (1, 1, 3, 5), (2, 3, 40, 56), (1, 512, 384)])
def test_rounding_is_no_difference(shape: tuple[int, ...]) -> None:
    array = values(*shape)
    noise = array * (1.0 + 1e-13 * np.sign(values(*shape[::-1]).reshape(shape)))
    assert apart(sketch(array), sketch(array.copy())) == 0.0
    assert apart(sketch(array), sketch(noise)) < 1e-3 * ROUNDING


@pytest.mark.parametrize("place", [0, 7, 100_000, -1])
def test_one_element_of_many_is_a_difference(place: int) -> None:
    array = values(1, 512, 384)
    other = array.copy()
    other.reshape(-1)[place] += 1e-5
    assert apart(sketch(array), sketch(other)) > ROUNDING


def test_a_change_that_keeps_mean_and_norm_is_a_difference() -> None:
    array = values(1, 64, 64)
    assert apart(sketch(array), sketch(array[:, ::-1])) > ROUNDING
    assert apart(sketch(array), sketch(-array)) > ROUNDING


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1, 16, 4]},
        {"sums": [0.0] * (SUMS - 1)},
        {"sums": [float("nan")] * SUMS},
        {"sums": [None] * SUMS},
        {"sums": "0" * SUMS},
        {"norm": None},
        {"norm": float("inf")},
        {"norm": True},
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_infinitely_far(change: dict[str, Any]) -> None:
    known = sketch(values(1, 8, 8))
    assert apart(known, known | change) == apart(known | change, known) == np.inf


def test_zeros_are_held_to_zeros() -> None:
    zeros = sketch(np.zeros((1, 8, 8)))
    assert apart(zeros, zeros) == 0.0
    assert apart(zeros, sketch(np.full((1, 8, 8), 1e-300))) == np.inf


def test_the_signs_never_change() -> None:
    """Another draw would make every stored sketch void."""
    found = sketch(np.arange(64.0))
    pinned = "-32 32 0 70 112 -32 -76 0 -64 114 64 -32 -56 58 28 -62"
    assert found["sums"] == [float(value) for value in pinned.split()]
