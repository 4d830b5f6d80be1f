"""What every command line shares: errors without traceback, exit codes, terminals."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from trufor_onnx.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

EXIT_OK, EXIT_FAILED, EXIT_COULD_NOT = 0, 1, 2
EXIT_INTERRUPTED = 130  # the shell's number for SIGINT
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MARKDOWN_PLAIN = frozenset("/,;()%'\" ")


def stderr_console() -> Console:
    """Progress and messages go to standard error, so that standard output can be piped."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def run_cli(main: Callable[[list[str]], int], argv: list[str] | None = None) -> int:
    """Run a command and turn a user's mistake into a message and an exit code.

    Args:
        main: takes the arguments, returns the exit code.
        argv: the arguments, or None for ``sys.argv[1:]``.
    """
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    try:
        return main(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; nothing half-written was kept", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`| head`). Nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


def printable(text: str) -> str:
    """One line of visible characters: white space as blanks, what is not visible replaced."""
    return "".join(map(_visible, text))


def markdown(text: str) -> str:
    """Text that Markdown shows as it is, in a table's cell too.

    Character references stand for themselves in Markdown: they never open emphasis, links, code,
    HTML or the next cell.
    """
    shown = printable(text)
    return "".join(
        character if _is_plain(shown, index) else f"&#{ord(character)};"
        for index, character in enumerate(shown)
    )


def terminal_table(
    title: str, words: Sequence[str], figures: Sequence[str], last: str = "status"
) -> Table:
    """An empty table for a terminal: columns of words, of figures, and a verdict."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in words:
        table.add_column(name, overflow="fold")
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(last, no_wrap=True)
    return table


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, of cells that are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _visible(character: str) -> str:
    if character.isprintable():  # no control, format (writing direction), surrogate, separator
        return character
    return " " if character.isspace() else REPLACEMENT


def _is_plain(text: str, index: int) -> bool:
    character = text[index]
    if not character.isascii() or character.isalnum():
        return True
    around = text[max(index - 1, 0) : index] + text[index + 1 : index + 2]
    if character == "_":  # inside a word it is no emphasis
        return len(around) == 2 and around.isascii() and around.isalnum()
    if character == ":":  # not the start of a link
        return not text.startswith("//", index + 1)
    if character in "-.+=":  # not a list, a rule, a heading or a list's number at the start
        return index > 0 and text[index - 1] != " "
    return character in MARKDOWN_PLAIN
