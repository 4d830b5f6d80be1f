"""Charts show every value, and say so where there is none."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.parity.report.html.charts import MOST_DOTS, Lane, bars, chart, key, lanes, thinned
from trufor_onnx.parity.report.html.elements import tick


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
