"""Files that a report can be written as, all made of the one JSON document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from chunking.atomic import atomic_write
from parity.errors import ParityError
from parity.report.json_report import json_text
from parity.report.junit import junit
from parity.report.markdown import markdown
from parity.results import Report

JSON = "json"
FORMATS: dict[str, tuple[str, Callable[[Report], str]]] = {
    JSON: ("parity.json", json_text),
    "junit": ("parity.junit.xml", junit),
    "markdown": ("parity.md", markdown),
}
LATER = {"html": "the HTML report comes with the release issue"}


def parse_formats(text: str) -> list[str]:
    """``junit,markdown`` as names of formats, each once.

    Raises:
        ParityError: one is unknown, or there are none.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        later = "; ".join(LATER[name] for name in unknown if name in LATER)
        raise ParityError(
            f"unknown report format: {', '.join(unknown) or 'none given'}",
            hint=f"there are {', '.join(FORMATS)}" + (f"; {later}" if later else ""),
        )
    return names


def write_reports(report: Report, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write a report's files into a folder, each whole or not at all. Returns their paths.

    Raises:
        ParityError: the folder cannot be written.
    """
    paths = []
    for name in formats:
        file, render = FORMATS[name]
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
