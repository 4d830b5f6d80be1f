"""Logarithmic axes hold what they show, and say it with few round figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.parity.report.html.charts import LEFT, MOST_TICKS, RIGHT, LogAxis, log_axis

positive = st.floats(5e-324, 1.7e308)


def place(axis: LogAxis, value: float) -> float:
    return float(axis.at(value).rstrip("%"))


@given(st.lists(positive, min_size=1))
def test_every_value_has_its_place_in_order(values: list[float]) -> None:
    axis = log_axis(values)
    assert axis is not None
    places = [place(axis, value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(LEFT <= one <= RIGHT for one in places)


@given(st.lists(positive, min_size=1))
def test_ticks_are_few_and_inside(values: list[float]) -> None:
    axis = log_axis(values)
    assert axis is not None
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= MOST_TICKS
    assert all(axis.low <= tick <= axis.high for tick in ticks)


def test_ticks_of_ordinary_ranges() -> None:
    assert LogAxis(0.45, 2.1).ticks() == [0.5, 0.7, 1.0, 1.5, 2.0]
    assert LogAxis(1e-8, 1.1e-4).ticks() == [1e-8, 1e-7, 1e-6, 1e-5, 1e-4]
    assert LogAxis(1.0, 1e12).ticks() == [1.0, 1e3, 1e6, 1e9, 1e12]


@pytest.mark.parametrize("values", [[], [0.0], [-1.0], [math.nan, math.inf]])
def test_nothing_positive_has_no_axis(values: list[float]) -> None:
    assert log_axis(values) is None


def test_zero_and_what_is_no_number_are_put_at_an_end() -> None:
    axis = LogAxis(1.0, 10.0)
    assert place(axis, 0.0) == place(axis, math.nan) == LEFT
    assert place(axis, math.inf) == RIGHT
    assert place(axis, math.sqrt(10.0)) == pytest.approx((LEFT + RIGHT) / 2)


def test_equal_values_are_not_spread_over_the_page() -> None:
    axis = log_axis([1.0, 1.001])
    assert axis is not None
    assert axis.high / axis.low >= 2.0
