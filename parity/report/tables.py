"""A report as tables for a terminal. Nothing here prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from trufor_onnx.console import printable
from trufor_onnx.parity.report.sentences import about_lines, backend_name, placement_lines
from trufor_onnx.parity.results.rows import SOURCE, Group, Report, Row, Status, said

STYLES = {
    Status.PASS: "green",
    Status.FAIL: "bold red",
    Status.ERROR: "bold yellow",
    Status.NOT_RUN: "yellow",
}
ORDER = (Status.FAIL, Status.ERROR, Status.NOT_RUN, Status.PASS)
MOST_ROWS = 200


def rows_table(rows: Iterable[Row], title: str) -> Table:
    """One line an image x output x candidate; PyTorch float32 is in the columns beside it."""
    table = Table(title=title, title_justify="left")
    for name in ("model", "image", "output", "backend"):
        table.add_column(name, overflow="fold")
    for name in ("MAE to float64", "MAE to torch32", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for row in rows:
        if row.backend == SOURCE and row.status is Status.PASS:
            continue
        table.add_row(
            _text(row.model),
            _text(row.image),
            _text(row.output),
            _text(backend_name(row)),
            _number(row.mae),
            _number(row.mae_torch32),
            _ratio(row.accuracy_ratio),
            _status(row.status),
        )
    return table


def most_telling(rows: Sequence[Row], title: str, most: int = MOST_ROWS) -> tuple[list[Row], str]:
    """All rows; of very many, what did not pass and then the largest errors. And the title."""
    candidates = [row for row in rows if row.backend != SOURCE or row.status is not Status.PASS]
    if len(candidates) <= most:
        return candidates, title
    worst = sorted(candidates, key=lambda row: (ORDER.index(row.status), -(row.mae or 0.0)))
    return worst[:most], f"{title}: the worst {most} of {len(candidates)}, all in parity.json"


def groups_table(groups: Sequence[Group]) -> Table:
    """Mean, standard deviation and maximum over the images, a line a model x output x backend."""
    table = Table(title="Summary", title_justify="left")
    for name in ("model", "on", "output", "backend"):
        table.add_column(name, overflow="fold")
    for name in ("n", "mean", "std", "max", "mean to torch32", "max to torch32", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for group in groups:
        table.add_row(
            _text(group.model),
            group.cases,
            _text(group.output),
            _text(backend_name(group)),
            str(group.rows),
            *(_number(value) for value in (group.mean, group.std, group.worst)),
            *(_number(value) for value in (group.mean_torch32, group.worst_torch32)),
            _ratio(group.accuracy_ratio),
            _status(group.status),
        )
    return table


def lines_below(report: Report) -> list[str]:
    """Whose weights, whether the file was proven to hold them, decisions, providers, resumption."""
    lines = [
        f"{name}: {given['weights']['label']}; {given['file']['name']} "
        f"({given['file']['sha256'][:16]}): {said(given)}; pixels / "
        f"{given['preprocessing']['scale']:g}"
        for name, given in report.models.items()
    ]
    lines += about_lines(report)
    lines += [
        f"{group.model} {group.output} on {group.cases}, worst: "
        + ", ".join(f"{name} {value:.4g}" for name, value in group.outcome.items())
        for group in report.groups
        if group.outcome and group.backend != SOURCE
    ]
    lines += placement_lines(report)
    if report.resumed_cases:
        lines.append(f"{report.resumed_cases} cases were measured by an interrupted run")
    return [printable(line) for line in lines]


def _text(value: str) -> Text:
    """Never read as markup: an image may be called ``[red].png``."""
    return Text(printable(value.strip()))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3e}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _status(status: Status) -> Text:
    return Text(status.value, style=STYLES[status])
