"""Text that cannot harm a terminal, an XML file or a Markdown page."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.console import markdown, printable

ANY = st.text(st.characters(exclude_categories=[]))


@given(ANY)
def test_printable_text_is_one_visible_line_of_the_same_length(text: str) -> None:
    found = printable(text)
    assert len(found) == len(text)
    assert found.isprintable()
    found.encode("utf-8")


def test_what_is_visible_stays() -> None:
    text = "ünïcödé 画像 a|b <x> & 'q' \N{GRINNING FACE}.png"
    assert printable(text) == text
    assert printable("a\nb\tc\x1b[0m\u202e\udcff") == "a b c\ufffd[0m\ufffd\ufffd"


@given(ANY)
def test_markdown_means_what_it_was_made_of(text: str) -> None:
    assert unescape(markdown(text)) == unescape(printable(text)) or "&" in text
    assert unescape(markdown(text)) == printable(text)


@given(ANY)
def test_markdown_has_no_character_left_that_means_something(text: str) -> None:
    bare = re.sub(r"&#\d+;", "", markdown(text))
    assert not set(bare) & set("|`*<>[]\\~!#{}$^@&\n\r")
    assert "://" not in bare
    assert not re.search(r"(?<![^\W_])_|_(?![^\W_])", bare, re.ASCII) or "&#" in markdown(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("noiseprint_pp", "noiseprint_pp"),
        ("shape:2x96x128", "shape:2x96x128"),
        ("real/a-b.png", "real/a-b.png"),
        ("_x_", "&#95;x&#95;"),
        ("0_ª", "0&#95;ª"),
        ("- x", "&#45; x"),
        ("https://x", "https&#58;//x"),
        ("a|b", "a&#124;b"),
        ("&lt;", "&#38;lt;"),
    ],
)
def test_markdown_of_usual_and_unusual_names(text: str, expected: str) -> None:
    assert markdown(text) == expected
