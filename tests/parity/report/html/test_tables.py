"""Tables are tables for a screen reader and a script too."""

from __future__ import annotations

import pytest

from trufor_onnx.parity.report.html.elements import Cell, figure, table


def test_heads_caption_and_region() -> None:
    found = table("a caption", ("name", "value"), [("x", figure("1.0e-06", 1e-6))])
    assert "<caption><span>a caption</span></caption>" in found
    assert '<th scope="col">name</th><th scope="col" class="n">value</th>' in found
    assert '<th scope="row" class="short">x</th>' in found
    assert '<td class="n" data-v="1e-06">1.0e-06</td>' in found
    assert 'role="region" aria-label="a caption" tabindex="0"' in found
    assert "data-sortable" in found and "data-filtered" not in found


def test_a_missing_figure_is_sorted_apart() -> None:
    assert 'data-v=""' in table("x", ("a", "b"), [("r", Cell("–"))])


def test_rows_have_their_status() -> None:
    found = table("x", ("a",), [("r",)], filtered=True, statuses=["not run"])
    assert '<tr data-status="not run">' in found and "data-filtered" in found


def test_a_row_with_another_number_of_cells_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="1 cells in 2 columns"):
        table("x", ("a", "b"), [("r",)])
