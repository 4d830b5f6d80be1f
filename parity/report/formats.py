"""Files that a report can be written as, all made of the one JSON document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

from trufor_onnx.console import printable
from trufor_onnx.errors import ParityError
from trufor_onnx.files import atomic_write
from trufor_onnx.parity.inputs.cases import is_made
from trufor_onnx.parity.report.html.page import page
from trufor_onnx.parity.report.sentences import UNSAID
from trufor_onnx.parity.report.text import markdown
from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.findings import Decision
from trufor_onnx.parity.results.rows import Group, Report, Row, Status, json_text
from trufor_onnx.parity.results.summary import MADE
from trufor_onnx.parity.results.timing import BenchReport

MOST_LINES = 20  # rows named in a test case
ELEMENTS = {Status.FAIL: "failure", Status.ERROR: "error", Status.NOT_RUN: "skipped"}
JSON, HTML = "json", "html"


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
    gate: Decision | None = None,
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
