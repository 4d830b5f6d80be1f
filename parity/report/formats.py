"""Files that a report can be written as, all made of the one JSON document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from chunking.atomic import atomic_write
from parity.errors import ParityError
from parity.latency.results import BenchReport
from parity.report.html.gate import Gate
from parity.report.html.page import page
from parity.report.json_report import json_text
from parity.report.junit import junit
from parity.report.markdown import markdown
from parity.results import Report

JSON, HTML = "json", "html"
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
