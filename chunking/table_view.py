"""The pieces of an inspected folder as a table."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from chunking.inspecting import Inspection
from chunking.manifest import shown
from chunking.sizes import format_size

_NAME_WIDTH = 48


def pieces_table(result: Inspection) -> Table:
    """One row a piece: where it lies, its digest, whether it is new, and its tensors."""
    table = Table(box=None, pad_edge=False)
    table.add_column("piece", justify="right")
    table.add_column("offset", justify="right")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("sha256", no_wrap=True)
    if result.sharing:
        table.add_column("new", no_wrap=True)
    table.add_column("tensors", justify="right")
    table.add_column("first and last", overflow="fold")
    for index, piece in enumerate(result.manifest.chunks):
        names = result.tensors[index]
        new = [("new" if result.sharing.is_new[index] else "")] if result.sharing else []
        row = [str(index), str(piece.offset), format_size(piece.size), piece.sha256[:16], *new]
        row += [str(len(names)), " ... ".join(map(_short, _first_and_last(names)))]
        table.add_row(*map(Text, row))
    return table


def _first_and_last(names: tuple[str, ...]) -> tuple[str, ...]:
    return names if len(names) < 2 else (names[0], names[-1])


def _short(name: str) -> str:
    text = shown(name)[1:-1] or "(unnamed)"
    return text if len(text) <= _NAME_WIDTH else "..." + text[3 - _NAME_WIDTH :]
