"""Nothing that comes from data becomes a tag."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.parity.report.html.elements import Markup, el, join


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
