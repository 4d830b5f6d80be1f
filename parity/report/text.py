"""A report as text: tables for a terminal, a page in Markdown for a CI summary. Nothing prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from trufor_onnx.console import markdown as escaped
from trufor_onnx.console import markdown_table, printable, terminal_table
from trufor_onnx.parity.report.sentences import (
    about_lines,
    backend_name,
    or_dash,
    placement_lines,
    problems,
)
from trufor_onnx.parity.results.rows import SOURCE, Group, Report, Row, Status, said
from trufor_onnx.parity.results.summary import count_cases

STYLES = {
    Status.PASS: "green",
    Status.FAIL: "bold red",
    Status.ERROR: "bold yellow",
    Status.NOT_RUN: "yellow",
}
MARKS = {
    Status.PASS: "✅ passed",
    Status.FAIL: "❌ **failed**",
    Status.ERROR: "⚠️ **could not compare**",
    Status.NOT_RUN: "⏸️ **not run**",
}
MOST_PROBLEMS = 20
WORST_IMAGES = 5
COLUMNS = ("model", "on", "output", "backend", "n", "mean MAE", "max MAE", "mean to torch32")
ORDER = (Status.FAIL, Status.ERROR, Status.NOT_RUN, Status.PASS)
MOST_ROWS = 200


def rows_table(rows: Iterable[Row], title: str) -> Table:
    """One line an image x output x candidate; PyTorch float32 is in the columns beside it."""
    words, figures = (
        ("model", "image", "output", "backend"),
        ("MAE to float64", "MAE to torch32", "ratio"),
    )
    table = terminal_table(title, words, figures)
    for row in rows:
        if row.backend == SOURCE and row.status is Status.PASS:
            continue
        table.add_row(
            _text(row.model),
            _text(row.image),
            _text(row.output),
            _text(backend_name(row)),
            or_dash(row.mae, ".3e"),
            or_dash(row.mae_torch32, ".3e"),
            or_dash(row.accuracy_ratio, ".3f"),
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
    figures = ("n", "mean", "std", "max", "mean to torch32", "max to torch32", "ratio")
    table = terminal_table("Summary", ("model", "on", "output", "backend"), figures)
    for group in groups:
        table.add_row(
            _text(group.model),
            group.cases,
            _text(group.output),
            _text(backend_name(group)),
            str(group.rows),
            *(or_dash(value, ".3e") for value in (group.mean, group.std, group.worst)),
            *(or_dash(value, ".3e") for value in (group.mean_torch32, group.worst_torch32)),
            or_dash(group.accuracy_ratio, ".3f"),
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


def _status(status: Status) -> Text:
    return Text(status.value, style=STYLES[status])


def markdown(report: Report) -> str:
    """The page."""
    blocks = [
        f"# Parity: {MARKS[report.status]}",
        _data_line(report),
        _groups(report.groups),
        *_decisions(report.groups),
        *_problems(report),
        *_worst(report.rows),
        _models(report),
        *_placement(report),
        environment_line(report.environment),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _data_line(report: Report) -> str:
    images, different, shapes, made = count_cases(report).values()
    counts = {s: sum(row.status is s for row in report.all_rows) for s in Status}
    shown = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    line = f"{images} images ({different} different), {shapes} shape cases, {made} made pictures; "
    line += f"rows: {shown or 'none'}."
    if report.resumed_cases:
        line += f" {report.resumed_cases} cases were measured by an earlier, interrupted run."
    return line


def _groups(groups: Sequence[Group]) -> str:
    rows = [
        (
            escaped(group.model),
            group.cases,
            escaped(group.output),
            escaped(backend_name(group)),
            str(group.rows),
            *(or_dash(v, ".3e") for v in (group.mean, group.worst, group.mean_torch32)),
            or_dash(group.accuracy_ratio, ".3f"),
            MARKS[group.status],
        )
        for group in groups
    ]
    return markdown_table((*COLUMNS, "accuracy ratio", "status"), rows)


def _decisions(groups: Sequence[Group]) -> list[str]:
    """What changed for people who act on the result."""
    rows = [
        (
            escaped(f"{group.model} {group.output}"),
            group.cases,
            escaped(group.backend),
            escaped(", ".join(f"{name} {value:.4g}" for name, value in group.outcome.items())),
        )
        for group in groups
        if group.outcome and group.backend != SOURCE
    ]
    return (
        ["## Decisions", markdown_table(("output", "on", "backend", "worst"), rows)] if rows else []
    )


def _problems(report: Report) -> list[str]:
    lines = problems(report, MOST_PROBLEMS)
    return (
        ["## What did not pass", "\n".join(f"- {escaped(line)}" for line in lines)] if lines else []
    )


def _worst(rows: Sequence[Row]) -> list[str]:
    """The images with the largest error of a candidate."""
    measured = [row for row in rows if row.backend != SOURCE and row.mae is not None]
    measured.sort(key=lambda row: row.mae or 0.0, reverse=True)
    table = [
        (
            escaped(row.image),
            escaped(f"{row.model} {row.output}"),
            escaped(backend_name(row)),
            *(or_dash(v, ".3e") for v in (row.mae, row.max_abs)),
            or_dash(row.accuracy_ratio, ".3f"),
        )
        for row in measured[:WORST_IMAGES]
    ]
    header = ("image", "output", "backend", "MAE", "max", "accuracy ratio")
    return ["## Images with the largest error", markdown_table(header, table)] if table else []


def _models(report: Report) -> str:
    lines = []
    for name, given in report.models.items():
        weights, file = given.get("weights", {}), given.get("file", {})
        lines.append(
            f"- {escaped(name)}: {escaped(str(weights.get('label', '')))}; "
            f"{escaped(str(file.get('name', '')))}, {escaped(said(given))}"
        )
    more = [f"- {escaped(line)}" for line in about_lines(report)]
    return "\n".join(["## Weights", "", *lines, *more])


def _placement(report: Report) -> list[str]:
    lines = [f"- {escaped(line)}" for line in placement_lines(report)]
    return ["\n".join(["## Providers", "", *lines])] if lines else []


def environment_line(environment: Mapping[str, Any]) -> str:
    """The processor and the packages."""
    packages = environment.get("packages", {})
    shown = [f"{name} {version}" for name, version in packages.items() if version != "absent"]
    processor = str(environment.get("processor", "unknown processor"))
    return escaped("; ".join([processor, *shown])) + "."
