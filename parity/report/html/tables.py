"""Tables that read without a script and sort with one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from parity.report.html.tags import Child, Markup, el

SHORT = 32  # characters that stay on one line


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


def figure(shown: str, value: float | None) -> Cell:
    """A figure as text, with the value that it is sorted by."""
    return Cell(shown, value)


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
