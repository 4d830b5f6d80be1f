"""HTML as nested calls. Whatever is not `Markup` is text, and is escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from trufor_onnx.console import printable

Child: TypeAlias = "str | int | Iterable[Child] | None"
Attribute = str | int | float | bool | None
VOID = frozenset({"br", "col", "img", "link", "meta"})
SHORT = 32  # characters that stay on one line
# A state's sign, its words and its class. Signs differ in shape, so colour is not needed.
STATES = {
    "pass": ("✓", "passed", "pass"),
    "fail": ("✗", "failed", "fail"),
    "error": ("!", "could not compare", "error"),
    "could not compare": ("!", "could not compare", "error"),
    "not run": ("–", "not run", "notrun"),
    "not judged": ("–", "not judged", "notrun"),
    "measured": ("✓", "measured", "pass"),
    "proven": ("✓", "weights proven", "pass"),
    "as its lock says": ("!", "weights as the lock says", "error"),
    "weights unproven": ("!", "weights unproven", "error"),
    "other weights": ("✗", "other weights", "fail"),
}
UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))
ABSENT = "–"


class Markup(str):
    """Text that is HTML already. Only `el` and `join` make it, and the page's own files."""

    __slots__ = ()


def el(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """An element: ``el("a", "text", href="#x", class_="y")``.

    Args:
        name: of the element; from the program, never from data.
        *children: elements, text, or lists of them; None is left out.
        **attributes: an underscore at the end is dropped, others become hyphens; True is an
            attribute without a value, None and False are none.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """All children as one."""
    return Markup("".join(map(_child, children)))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str | int):
        return html.escape(printable(str(child)))
    return join(child)


def _attribute(key: str, value: Attribute) -> str:
    name = key.removesuffix("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    return f' {name}="{html.escape(printable(str(value)))}"'


@dataclass(frozen=True)
class Cell:
    """A cell whose order is not that of its text.

    Attributes:
        shown: what is in it.
        value: what it is sorted by; None is sorted last, whichever way.
        number: aligned as figures are.
    """

    shown: Child
    value: float | None = None
    number: bool = True


def table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[Sequence[Child | Cell]],
    *,
    filtered: bool = False,
    sortable: bool = True,
    statuses: Sequence[str] = (),
) -> Markup:
    """A table in a region of its own that scrolls sideways where the page is narrow.

    Args:
        caption: what it holds.
        header: the columns. The first one's cells head their rows.
        rows: cells, as many as columns.
        filtered: offer to search it.
        sortable: let columns be sorted.
        statuses: each row's status, for the filter; empty where rows have none.
    """
    body = []
    figures: set[int] = set()
    for number, cells in enumerate(rows):
        if len(cells) != len(header):
            raise ValueError(f"{len(cells)} cells in {len(header)} columns")
        status = statuses[number] if statuses else None
        figures |= {at for at, cell in enumerate(cells) if isinstance(cell, Cell) and cell.number}
        first, *others = cells
        body.append(
            el(
                "tr",
                _cell("th", first, scope="row"),
                *(_cell("td", c) for c in others),
                data_status=status,
            )
        )
    names = [
        el("th", name, scope="col", class_="n" if number in figures else None)
        for number, name in enumerate(header)
    ]
    found = el(
        "table",
        el("caption", el("span", caption)),
        el("thead", el("tr", names)),
        el("tbody", body),
        data_sortable=sortable,
        data_filtered=filtered,
    )
    return el(
        "div",
        found,
        class_="scroll tall" if filtered else "scroll",
        role="region",
        aria_label=caption,
        tabindex=0,
    )


def _cell(name: str, cell: Child | Cell, scope: str | None = None) -> Markup:
    if not isinstance(cell, Cell):
        short = isinstance(cell, str) and len(cell) <= SHORT
        return el(name, cell, scope=scope, class_="short" if short else None)
    value = "" if cell.value is None else repr(cell.value)
    return el(name, cell.shown, scope=scope, class_="n" if cell.number else None, data_v=value)


def state(name: str) -> Markup:
    """A status as sign and words; one that is unknown is shown as it is, never as passed."""
    sign, words, kind = STATES.get(name, ("?", name, "error"))
    return el("span", el("span", sign, aria_hidden="true"), f" {words}", class_=f"state {kind}")


def error(value: float | None) -> str:
    """An error in an output's own units."""
    return ABSENT if value is None else f"{value:.2e}"


def ratio(value: float | None) -> str:
    """A ratio to three decimals; of large ones the magnitude."""
    if value is None:
        return ABSENT
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.2e}"


def tick(value: float) -> str:
    """A round figure at an axis, as short as it goes."""
    if value == 0 or 1e-3 < abs(value) < 1e4:
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    return f"{value / 10.0**exponent:.2g}e{exponent}"


def duration(nanoseconds: float | None) -> str:
    """Three digits, in the largest unit that keeps one before the point."""
    if nanoseconds is None:
        return ABSENT
    for scale, unit in UNITS:
        if nanoseconds >= scale:
            return f"{nanoseconds / scale:.3g} {unit}"
    return f"{nanoseconds:.0f} ns"


def mebibytes(size: int | None) -> str:
    """Bytes in MiB."""
    return ABSENT if size is None else f"{size / 2**20:.1f} MiB"


def percent(factor: float | None) -> str:
    """A factor of 1 or more as what it is over 1."""
    return ABSENT if factor is None else f"{100 * (factor - 1):.1f} %"


def shortened(text: str, most: int = 34) -> str:
    """A name as long as a chart has room for."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def count(number: int, what: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {what}" + ("" if number == 1 else "s")
