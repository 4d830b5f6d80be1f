"""Charts and their axes show every value, with few round figures."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.parity.report.html.charts import (
    LEFT,
    MOST_DOTS,
    MOST_TICKS,
    RIGHT,
    Lane,
    LogAxis,
    bars,
    chart,
    key,
    lanes,
    log_axis,
    thinned,
)
from trufor_onnx.parity.report.html.elements import tick

positive = st.floats(5e-324, 1.7e308)


def test_a_mark_a_value() -> None:
    lane = Lane("a", dots=(1.0, 2.0, 3.0), diamonds=(1.5, 2.5), bars=(2.0,), band=(1.8, 2.2))
    found = lanes("title", [lane, Lane("b")], tick)
    assert found is not None
    assert found.count("<circle") == 3
    assert found.count("<path") == 2
    assert found.count('class="median"') == 1 and found.count('class="band"') == 1
    assert found.startswith('<svg role="img"') and "<title>title</title>" in found


@pytest.mark.parametrize("dots", [(), (0.0,), (math.nan, math.inf)])
def test_nothing_to_show_is_said(dots: tuple[float, ...]) -> None:
    found = chart("x", lanes("x", [Lane("a", dots=dots)], tick, one=1.0, room=(1.0,)))
    assert "nothing was measured" in found and "<svg" not in found


@given(st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=2000))
def test_of_very_many_values_both_ends_are_shown(values: list[float]) -> None:
    found = thinned(values)
    assert len(found) == min(len(values), MOST_DOTS)
    assert (found[0], found[-1]) == (min(values), max(values))


@given(st.lists(st.floats(), max_size=5))
def test_any_values_can_be_shown(values: list[float]) -> None:
    found = lanes("x", [Lane("a", dots=tuple(values), bars=tuple(values))], tick) or ""
    assert "nan" not in found and "inf" not in found


def test_bars_are_shares_of_the_largest() -> None:
    found = bars("x", [("a", 25, 50, "50"), ("b", 0, 100, "100")])
    assert found is not None
    assert re.findall(r'width="([\d.]+)%"', found) == ["50.00", "25.00", "100.00", "0.00"]
    assert bars("x", []) is None and bars("x", [("a", 0, 0, "0")]) is None


def test_a_key_has_a_sign_for_each_mark() -> None:
    assert key(("dot", "a"), ("diamond", "b"), ("median", "c"), ("band", "d")).count("<svg") == 4


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
