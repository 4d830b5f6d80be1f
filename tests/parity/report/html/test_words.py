"""Figures and states in words."""

from __future__ import annotations

import pytest

from trufor_onnx.parity.report.html import elements as words
from trufor_onnx.parity.report.html.page import LIGHT
from trufor_onnx.parity.results.rows import Status


def test_states_differ_in_sign_and_word_not_in_colour_alone() -> None:
    signs = {words.STATES[status.value][0] for status in Status}
    assert len(signs) == len(Status)
    assert {kind for _, _, kind in words.STATES.values()} <= LIGHT.keys()
    assert words.STATES["not run"] != words.STATES["pass"]


def test_a_state_that_is_unknown_never_looks_passed() -> None:
    found = words.state("<b>splendid")
    assert "error" in found and "pass" not in found and "<b>" not in found


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "0.5"), (1.0, "1"), (1e-6, "1e-6"), (1.5e-6, "1.5e-6"), (3e12, "3e12"), (0.0, "0")],
)
def test_ticks(value: float, shown: str) -> None:
    assert words.tick(value) == shown


def test_figures() -> None:
    assert [words.error(v) for v in (None, 1.234e-7)] == ["–", "1.23e-07"]
    assert [words.ratio(v) for v in (None, 1.0, 123456.0)] == ["–", "1.000", "1.23e+05"]
    assert [words.duration(v) for v in (None, 12.0, 1.5e3, 2.25e6, 3e9)] == [
        *("–", "12 ns", "1.5 µs", "2.25 ms", "3 s"),
    ]
    assert [words.mebibytes(v) for v in (None, 3 << 20)] == ["–", "3.0 MiB"]
    assert [words.percent(v) for v in (None, 1.025)] == ["–", "2.5 %"]
    assert [words.count(n, "case") for n in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]
    assert words.shortened("x" * 99) == "x" * 33 + "…"
