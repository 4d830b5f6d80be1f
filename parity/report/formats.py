"""Files that a report can be written as, all made of the one JSON document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

from trufor_onnx.console import markdown as escaped
from trufor_onnx.console import printable
from trufor_onnx.errors import ParityError
from trufor_onnx.files import atomic_write
from trufor_onnx.parity.inputs.made import is_made
from trufor_onnx.parity.report.html.gate import Gate
from trufor_onnx.parity.report.html.page import page
from trufor_onnx.parity.report.sentences import (
    UNSAID,
    about_lines,
    backend_name,
    placement_lines,
    problems,
)
from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.rows import SOURCE, Group, Report, Row, Status, json_text, said
from trufor_onnx.parity.results.summary import MADE, fewest_different
from trufor_onnx.parity.results.timing import BenchReport

MARKS = {
    Status.PASS: "✅ passed",
    Status.FAIL: "❌ **failed**",
    Status.ERROR: "⚠️ **could not compare**",
    Status.NOT_RUN: "⏸️ **not run**",
}
MOST_PROBLEMS = 20
WORST_IMAGES = 5
COLUMNS = ("model", "on", "output", "backend", "n", "mean MAE", "max MAE", "mean to torch32")


MOST_LINES = 20  # rows named in a test case
ELEMENTS = {Status.FAIL: "failure", Status.ERROR: "error", Status.NOT_RUN: "skipped"}
JSON, HTML = "json", "html"


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


def junit(report: Report) -> str:
    """The document. "Not run" is a skipped test; a run in which nothing was compared an error."""
    root = ET.Element("testsuites", name="parity")
    verdict = _suite(root, "parity")
    status = Status.ERROR if report.status is Status.NOT_RUN else report.status
    _case(verdict, "parity", "verdict", status, f"the run as a whole: {report.status}")
    for model in report.models:
        suite = _suite(root, model, _properties(report, model))
        for group in report.groups:
            if group.model == model:
                rows = report.rows if group.cases == "images" else report.shape_rows
                made = group.cases == MADE
                _group_case(suite, group, [row for row in rows if is_made(row.image) == made])
        for row in report.all_rows:
            if row.model == model and not row.output:
                _case(suite, f"{model}.images", row.image, row.status, row.reason)
    for suite in root:
        _count(suite, suite)
    _count(root, root)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _group_case(suite: ET.Element, group: Group, rows: Iterable[Row]) -> None:
    variant = "" if group.variant in UNSAID else group.variant
    parts = (group.model, variant, group.backend, group.provider)
    classname = ".".join(part for part in parts if part)
    name = f"{group.output} on {group.cases}"
    bad = [
        f"{row.image}: {row.reason}"
        for row in rows
        if row.status is not Status.PASS
        and (Contestant.of(row), row.output) == (Contestant.of(group), group.output)
    ]
    more = [f"and {len(bad) - MOST_LINES} more, all in parity.json"]
    lines = bad[:MOST_LINES] + (more if len(bad) > MOST_LINES else [])
    case = _case(suite, classname, name, group.status, group.reason, lines)
    ET.SubElement(case, "system-out").text = printable(_figures(group))


def _case(
    suite: ET.Element,
    classname: str,
    name: str,
    status: Status,
    reason: str,
    lines: Iterable[str] = (),
) -> ET.Element:
    case = ET.SubElement(suite, "testcase", classname=printable(classname), name=printable(name))
    if status is not Status.PASS:
        found = ET.SubElement(case, ELEMENTS[status], message=printable(reason))
        found.text = "\n".join(map(printable, lines))
    return case


def _suite(root: ET.Element, name: str, properties: Iterable[tuple[str, str]] = ()) -> ET.Element:
    suite = ET.SubElement(root, "testsuite", name=printable(name))
    given = list(properties)
    if given:
        parent = ET.SubElement(suite, "properties")
        for key, value in given:
            ET.SubElement(parent, "property", name=key, value=printable(value))
    return suite


def _properties(report: Report, model: str) -> list[tuple[str, str]]:
    """Whose weights, which file, on what."""
    given = report.models[model]
    return [
        ("weights", str(given.get("weights", {}).get("label", "unknown"))),
        ("file_sha256", str(given.get("file", {}).get("sha256", "unknown"))),
        ("proof", str(given.get("proof", "unknown"))),
        ("processor", str(report.environment.get("processor", "unknown"))),
    ]


def _figures(group: Group) -> str:
    given = {
        "rows": group.rows,
        "mean MAE to float64": group.mean,
        "max MAE to float64": group.worst,
        "mean MAE to torch32": group.mean_torch32,
        "accuracy ratio": group.accuracy_ratio,
        **group.outcome,
    }
    return "; ".join(f"{name} {value:.4g}" for name, value in given.items() if value is not None)


def _count(element: ET.Element, counted: ET.Element) -> None:
    """Put the numbers of tests, failures, errors and skipped ones on an element."""
    cases = list(counted.iter("testcase"))
    element.set("tests", str(len(cases)))
    for name, found in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(name, str(sum(case.find(found) is not None for case in cases)))


FORMATS: dict[str, tuple[str, Callable[[Report], str]]] = {
    JSON: ("parity.json", json_text),
    "junit": ("parity.junit.xml", junit),
    "markdown": ("parity.md", markdown),
    HTML: ("parity.html", page),
}


def parse_formats(text: str) -> list[str]:
    """``junit,markdown`` as names of formats, each once.

    Raises:
        ParityError: one is unknown, or there are none.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise ParityError(
            f"unknown report format: {', '.join(unknown) or 'none given'}",
            hint=f"there are {', '.join(FORMATS)}",
        )
    return names


def write_reports(
    report: Report,
    folder: Path,
    formats: Sequence[str],
    *,
    gate: Gate | None = None,
    bench: BenchReport | None = None,
) -> list[Path]:
    """Write a report's files into a folder, each whole or not at all. Returns their paths.

    Args:
        report: the run.
        folder: made where it is missing.
        formats: names of `FORMATS`.
        gate: the gate's decision, for the page; None is shown as not run.
        bench: times and memory, for the page; None is shown as not run.

    Raises:
        ParityError: the folder cannot be written.
    """
    paths = []
    for name in formats:
        file, render = FORMATS[name]
        if name == HTML:
            render = partial(page, gate=gate, bench=bench)
        path = folder / file
        try:
            folder.mkdir(parents=True, exist_ok=True)
            atomic_write(path, render(report).encode())
        except OSError as error:
            raise ParityError(
                f"{path} cannot be written ({error.strerror})",
                hint="name another folder with --out",
            ) from error
        paths.append(path)
    return paths
