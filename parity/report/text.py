"""Names and reasons as text that cannot harm a terminal, an XML file or a Markdown page."""

from __future__ import annotations

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MARKDOWN_PLAIN = frozenset("/,;()%'\" ")


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
