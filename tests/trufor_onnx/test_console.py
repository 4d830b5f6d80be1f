"""What command lines share; text that harms no terminal, XML file or Markdown page."""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.console import markdown, printable, run_cli
from trufor_onnx.errors import UserError

ANY = st.text(st.characters(exclude_categories=[]))


def test_user_error_is_a_message_and_a_code(capsys: pytest.CaptureFixture[str]):
    class Failed(UserError):
        exit_code = 1

    def fail(argv: list[str]) -> int:
        raise Failed("wrong " + argv[0], hint="mend it")

    assert run_cli(fail, ["file"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "error: wrong file\n  hint: mend it\n"
    assert captured.out == ""


def test_interrupt_is_130(capsys: pytest.CaptureFixture[str]):
    def interrupted(_argv: list[str]) -> int:
        raise KeyboardInterrupt

    assert run_cli(interrupted, []) == 130
    assert "interrupted" in capsys.readouterr().err


def test_other_errors_are_not_hidden():
    def broken(_argv: list[str]) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_cli(broken, [])


def test_reader_that_went_away_is_no_error():
    code = """if True:
        import sys
        from trufor_onnx.console import run_cli

        def main(argv):
            while True:
                print("x" * 1000)

        sys.exit(run_cli(main, []))
    """
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.read(1)
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait(timeout=60) == 0


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
