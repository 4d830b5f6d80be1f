"""A report as tables for a terminal. Nothing here prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from parity.results import Group, Report, Row, Status

STYLES = {
    Status.PASS: "green",
    Status.FAIL: "bold red",
    Status.ERROR: "bold yellow",
    Status.NOT_RUN: "yellow",
}
SOURCE = "torch32"


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
            row.model,
            row.image,
            row.output,
            f"{row.backend} {row.provider}".strip(),
            _number(row.mae),
            _number(row.mae_torch32),
            _ratio(row.accuracy_ratio),
            _status(row.status),
        )
    return table


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
            group.model,
            group.cases,
            group.output,
            f"{group.backend} {group.provider}".strip(),
            str(group.rows),
            *(_number(value) for value in (group.mean, group.std, group.worst)),
            *(_number(value) for value in (group.mean_torch32, group.worst_torch32)),
            _ratio(group.accuracy_ratio),
            _status(group.status),
        )
    return table


def problems(report: Report, most: int = 20) -> list[str]:
    """What did not pass, a sentence each, groups first."""
    found = [
        f"{group.status.value}: {group.model} {group.output} on {group.cases}: {group.reason}"
        for group in report.groups
        if group.status is not Status.PASS
    ]
    found += [
        f"{row.status.value}: {row.image} {row.model} {row.output}".rstrip() + f": {row.reason}"
        for row in report.all_rows
        if row.status is not Status.PASS
    ]
    unique = list(dict.fromkeys(found))
    more = [f"and {len(unique) - most} more, all in parity.json"] if len(unique) > most else []
    return unique[:most] + more


def weights_lines(report: Report) -> list[str]:
    """For each model: whose weights, and whether the file was proven to hold them."""
    return [
        f"{name}: {given['weights']['label']}; {given['file']['name']} "
        f"({given['file']['sha256'][:16]}): {given['proof']}"
        for name, given in report.models.items()
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3e}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _status(status: Status) -> Text:
    return Text(status.value, style=STYLES[status])
