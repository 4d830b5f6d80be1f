"""A Markdown page for a CI summary: verdict, figures, what did not pass, the worst images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trufor_onnx.console import markdown as escaped
from trufor_onnx.parity.inputs.made import is_made
from trufor_onnx.parity.report.sentences import about_lines, backend_name, placement_lines, problems
from trufor_onnx.parity.results.rows import SOURCE, Group, Report, Row, Status, said
from trufor_onnx.parity.results.summary import fewest_different

MARKS = {
    Status.PASS: "✅ passed",
    Status.FAIL: "❌ **failed**",
    Status.ERROR: "⚠️ **could not compare**",
    Status.NOT_RUN: "⏸️ **not run**",
}
MOST_PROBLEMS = 20
WORST_IMAGES = 5
COLUMNS = ("model", "on", "output", "backend", "n", "mean MAE", "max MAE", "mean to torch32")


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
        _environment(report),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _data_line(report: Report) -> str:
    images = (
        f"{len({row.image for row in report.rows})} images ({fewest_different(report)} different)"
    )
    others = {(row.model, row.image) for row in report.shape_rows}
    made = sum(is_made(image) for _, image in others)
    counts = {s: sum(row.status is s for row in report.all_rows) for s in Status}
    shown = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    line = f"{images}, {len(others) - made} shape cases, {made} made pictures; "
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
            *map(_number, (group.mean, group.worst, group.mean_torch32)),
            "-" if group.accuracy_ratio is None else f"{group.accuracy_ratio:.3f}",
            MARKS[group.status],
        )
        for group in groups
    ]
    return _table((*COLUMNS, "accuracy ratio", "status"), rows)


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
    return ["## Decisions", _table(("output", "on", "backend", "worst"), rows)] if rows else []


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
            *map(_number, (row.mae, row.max_abs)),
            "-" if row.accuracy_ratio is None else f"{row.accuracy_ratio:.3f}",
        )
        for row in measured[:WORST_IMAGES]
    ]
    header = ("image", "output", "backend", "MAE", "max", "accuracy ratio")
    return ["## Images with the largest error", _table(header, table)] if table else []


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


def _environment(report: Report) -> str:
    packages = report.environment.get("packages", {})
    shown = [f"{name} {version}" for name, version in packages.items() if version != "absent"]
    processor = str(report.environment.get("processor", "unknown processor"))
    return escaped("; ".join([processor, *shown])) + "."


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3e}"
