"""The answer as JSON, Markdown and a table. Nothing here prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from trufor_onnx.console import markdown as escaped
from trufor_onnx.console import markdown_table, printable, terminal_table
from trufor_onnx.documents import encode, text_of
from trufor_onnx.errors import ParityError
from trufor_onnx.files import atomic_write
from trufor_onnx.parity.locate.results import FACTOR, SCHEMA_VERSION, Located, LocatedPart

JSON_FILE, MARKDOWN_FILE = "locate.json", "locate.md"
SHORT = 60  # parts that a table shows whole
WORST = 10  # parts that a longer one shows even where none creates error
COLUMNS = ("module", "reference", "candidate", "created", "torch32", "ratio", "full run", "share")


def document(located: Located) -> dict[str, Any]:
    """The answer as JSON has it: all parts, infinite numbers as null."""
    whole: dict[str, Any] = encode(located)
    for part, given in zip(located.parts, whole["parts"], strict=True):
        given["creates"] = part.creates
    first = located.faults[0].name if located.faults else None
    return {
        **whole,
        "schema_version": SCHEMA_VERSION,
        "factor": FACTOR,
        "first": first,
        "sentence": located.sentence(),
    }


def json_text(located: Located) -> str:
    """Sorted keys, no NaN."""
    return text_of(document(located))


def table(located: Located, *, whole: bool = False) -> Table:
    """Parts in network order; of many, those that stand out, and how many lie between."""
    title = f"{located.model}: where error is created"
    shown = terminal_table(title, COLUMNS[:3], COLUMNS[3:], "verdict")
    for row in rows(located.parts, whole=whole):
        if isinstance(row, int):
            shown.add_row(Text(f"... {row} parts within rounding", style="dim"))
            continue
        style = "bold red" if row.creates else ""
        cells = [*map(printable, _cells(row)), "creates" if row.creates else "rounding"]
        shown.add_row(*(Text(cell, style=style) for cell in cells))
    return shown


def markdown(located: Located) -> str:
    """A page: the answer, what was compared, all parts."""
    shapes = ", ".join(f"{name} {list(shape)}" for name, shape in located.shapes.items())
    ties = ", ".join(f"{count} by {how}" for how, count in located.origins.items() if count)
    whole = ", ".join(f"{name} {error:.1e}" for name, error in located.outputs.items())
    lines = [
        f"# {escaped(located.model)}: where error is created",
        "",
        f"**{escaped(located.sentence())}**",
        "",
        f"- file: {escaped(str(located.file['name']))} ({escaped(located.proof)})",
        f"- reference: {escaped(located.weights)}, float64",
        f"- input: {escaped(located.image)}; {escaped(shapes)}",
        f"- initializers tied to the reference's tensors: {escaped(ties)}",
        f"- outputs of the file as it is, relative L2 to float64: {escaped(whole)}",
        "",
        markdown_table(
            (*COLUMNS, "verdict"),
            [
                (*map(escaped, _cells(part)), "**creates**" if part.creates else "rounding")
                for part in located.parts
            ],
        ),
    ]
    return "\n".join(lines) + "\n"


def write(located: Located, folder: Path) -> list[Path]:
    """Both files. Returns their paths.

    Raises:
        ParityError: the folder cannot be written.
    """
    texts = {JSON_FILE: json_text(located), MARKDOWN_FILE: markdown(located)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            atomic_write(folder / name, text.encode())
    except OSError as error:
        raise ParityError(
            f"{folder}: cannot be written ({error.strerror or error})",
            hint="name another folder with --out",
        ) from error
    return [folder / name for name in texts]


def rows(parts: Sequence[LocatedPart], *, whole: bool) -> Iterator[LocatedPart | int]:
    """Parts to show; a number stands for so many that are left out."""
    worst = sorted(parts, key=lambda part: part.ratio, reverse=True)[:WORST]
    left = 0
    for part in parts:
        if whole or len(parts) <= SHORT or part.creates or part in worst:
            if left:
                yield left
            left = 0
            yield part
        else:
            left += 1
    if left:
        yield left


def _cells(part: LocatedPart) -> tuple[str, ...]:
    return (
        part.name or "(the network itself)",
        ", ".join(part.operators),
        ", ".join(part.nodes) or "nothing",
        f"{part.created:.1e}",
        f"{part.torch32:.1e}",
        f"{part.ratio:.1f}",
        f"{part.full_run:.1e}",
        f"{100 * part.share:.1f} %",
    )
