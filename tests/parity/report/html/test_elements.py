"""Tags, tables, figures in words: nothing that comes from data becomes a tag."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.parity.report.html import elements as words
from trufor_onnx.parity.report.html.elements import Cell, Markup, el, join, table
from trufor_onnx.parity.report.html.page import LIGHT
from trufor_onnx.parity.results.rows import Status


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return reader


@given(st.text(), st.text())
def test_text_and_attributes_stay_what_they_are(text: str, attribute: str) -> None:
    found = read(el("p", text, title=attribute))
    assert [tag for tag, _ in found.tags] == ["p"]
    assert [name for name, _ in found.tags[0][1]] == ["title"]


@pytest.mark.parametrize("text", ["<b>x</b>", '"><script>', "a & b", "'", "&lt;"])
def test_what_is_shown_is_what_was_given(text: str) -> None:
    found = read(el("p", text, title=text))
    assert found.text == text
    assert found.tags == [("p", [("title", text)])]


def test_children_and_attributes() -> None:
    assert el("p", "a", el("b", "c"), None, [1, [el("i")]]) == "<p>a<b>c</b>1<i></i></p>"
    assert el("td", class_="n", data_v=1.5, hidden=True, x=None, y=False) == (
        '<td class="n" data-v="1.5" hidden></td>'
    )
    assert el("meta", name="viewport", content="x") == '<meta name="viewport" content="x">'
    assert join(["<", el("br")]) == "&lt;<br>"


def test_joined_with_text_markup_is_text_again() -> None:
    mixed = el("b", "x") + "<script>"
    assert not isinstance(mixed, Markup)
    assert "<" not in join([mixed])


def test_heads_caption_and_region() -> None:
    found = table("a caption", ("name", "value"), [("x", Cell("1.0e-06", 1e-6))])
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
