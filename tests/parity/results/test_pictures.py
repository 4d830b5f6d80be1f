"""Small pictures show what the arrays hold, at any size and with any values."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from trufor_onnx.parity.results.pictures import (
    GREY,
    HEAT,
    LEVELS,
    LONGEST,
    NO_NUMBER,
    blocks,
    photograph,
    plane,
    scaled_png,
    span,
)


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_channels_become_their_mean_and_batches_their_first_member() -> None:
    array = np.stack([np.full((3, 4, 5), 1.0), np.full((3, 4, 5), 9.0)])
    array[0, 2] = 4.0
    assert np.array_equal(plane(array), np.full((4, 5), 2.0))
    assert np.array_equal(plane(array[:, 0]), np.full((4, 5), 1.0))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (4, 5), (1, 1, 1), (0, 3, 4, 4), (1, 1, 4, 1)])
def test_what_is_no_map_is_not_drawn(shape: tuple[int, ...]) -> None:
    assert plane(np.zeros(shape)) is None


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 500), st.integers(1, 500)),
        elements=st.floats(-1.0, 1.0),
        fill=st.just(0.0),
    )
)
@settings(max_examples=40, deadline=None)
def test_blocks_are_small_and_keep_the_largest_value(values: np.ndarray) -> None:
    largest, mean = blocks(values, largest=True), blocks(values)
    assert max(largest.shape) <= LONGEST and largest.shape == mean.shape
    assert largest.max() == values.max()
    assert values.min() - 1e-12 <= mean.min() and mean.max() <= values.max() + 1e-12


def test_means_of_blocks_that_do_not_fit_are_of_what_is_there() -> None:
    values = np.ones((2 * LONGEST - 1, 2 * LONGEST - 1))
    assert np.array_equal(blocks(values), np.ones((LONGEST, LONGEST)))


def test_one_value_that_is_no_number_is_seen_at_any_size() -> None:
    values = np.zeros((1000, 1000))
    values[777, 333] = np.nan
    small = blocks(values, largest=True)
    assert np.isnan(small).sum() == 1
    shown = pixels(scaled_png(small, 0.0, 1.0, HEAT))
    assert (shown == NO_NUMBER).all(axis=-1).sum() == 1


def test_the_scale_goes_from_its_first_colour_to_its_last() -> None:
    values = np.linspace(-3.0, 5.0, LEVELS)[None, :]
    for colours in (GREY, HEAT):
        assert [tuple(c) for c in pixels(scaled_png(values, -3.0, 5.0, colours))[0]] == list(
            colours
        )
    outside = np.array([[-9.0, 99.0]])
    assert [tuple(c) for c in pixels(scaled_png(outside, -3.0, 5.0, GREY))[0]] == [
        GREY[0],
        GREY[-1],
    ]


@pytest.mark.parametrize("colours", [GREY, HEAT])
def test_scales_read_without_colour(colours: Any) -> None:
    bright = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in colours]
    assert bright == sorted(bright) and len(set(bright)) == len(bright) == LEVELS
    assert NO_NUMBER not in colours


@given(hnp.arrays(np.float64, (4, 5)), st.booleans())
@example(np.array([[0.0, 5e-324, 0.0, 0.0, 0.0]] * 4), True)  # half of its range is 0
@example(np.array([[-1.7e308, 1.7e308, 0.0, 0.0, 0.0]] * 4), True)  # its range is infinite
@settings(max_examples=80, deadline=None)
def test_any_values_can_be_drawn(values: np.ndarray, largest: bool) -> None:
    low, high = span(values)
    assert np.isfinite([low, high]).all()
    shown = pixels(scaled_png(blocks(values, largest=largest), low, high, GREY))
    assert shown.shape == (4, 5, 3)
    bad = ~np.isfinite(values)
    assert np.array_equal((shown == NO_NUMBER).all(axis=-1), bad)


def test_a_photograph_is_small_and_keeps_its_proportions() -> None:
    rgb = np.zeros((600, 900, 3), np.uint8)
    rgb[..., 0] = 200
    shown = pixels(photograph(rgb))
    assert shown.shape == (LONGEST * 2 // 3, LONGEST, 3)
    assert abs(int(shown[5, 5, 0]) - 200) < 4
    assert pixels(photograph(rgb[:40, :30])).shape == (40, 30, 3)
