"""The page, put together. Every figure on it comes from the report, the gate or the benchmark."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources

from trufor_onnx.parity.report.html.costs import latency_section, memory_section
from trufor_onnx.parity.report.html.elements import Child, Markup, count, el, join, state
from trufor_onnx.parity.report.html.gallery import without_pictures, worst_images
from trufor_onnx.parity.report.html.gate import gate_section
from trufor_onnx.parity.report.html.origin import (
    failed_outputs,
    pairs,
    placement_section,
    problems_section,
    provenance_section,
)
from trufor_onnx.parity.report.html.results import (
    decisions_table,
    error_chart,
    groups_table,
    ratio_chart,
    rows_tables,
)
from trufor_onnx.parity.results.findings import Decision
from trufor_onnx.parity.results.rows import SCHEMA_VERSION, Report, Status
from trufor_onnx.parity.results.summary import count_cases
from trufor_onnx.parity.results.timing import BenchReport

LIGHT = {
    "page": "#ffffff",
    "panel": "#f4f6f8",
    "text": "#1b1f24",
    "muted": "#545d68",
    "line": "#cfd6de",
    "link": "#0550ae",
    "pass": "#116329",
    "fail": "#b3121d",
    "error": "#8a4600",
    "notrun": "#545d68",
    "candidate": "#0550ae",
    "source": "#9a4a00",
}
DARK = {
    "page": "#0f1318",
    "panel": "#1a2028",
    "text": "#e6e9ee",
    "muted": "#a9b2bd",
    "line": "#39424e",
    "link": "#82bcff",
    "pass": "#5fd874",
    "fail": "#ff938a",
    "error": "#f2b65c",
    "notrun": "#a9b2bd",
    "candidate": "#82bcff",
    "source": "#f2b65c",
}
BACKGROUNDS = ("page", "panel")
LEAST_CONTRAST = 4.5  # of text, WCAG 2.2 criterion 1.4.3
TILES = {
    Status.PASS: "comparisons passed",
    Status.FAIL: "comparisons failed",
    Status.ERROR: "could not compare",
    Status.NOT_RUN: "not run",
}


def css() -> str:
    """The colours as custom properties. Print is always light."""
    light, dark = (f":root{{{_properties(colours)}}}" for colours in (LIGHT, DARK))
    return f"{light}\n@media screen and (prefers-color-scheme:dark){{{dark}}}\n"


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _properties(colours: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


def head_assets() -> Markup:
    """The content policy and the style."""
    policy = (
        "default-src 'none'; img-src data:; "
        f"style-src {_digest(_style())}; script-src {_digest(_script())}; "
        "base-uri 'none'; form-action 'none'"
    )
    return join(
        [
            # `html.escape` would write &#x27; for the quotes, which browsers read as quotes.
            el("meta", http_equiv="Content-Security-Policy", content=policy),
            el("style", Markup(_style())),
        ]
    )


def script() -> Markup:
    """The script: tables that sort and can be filtered. The page is whole without it."""
    return el("script", Markup(_script()))


@cache
def _style() -> str:
    return css() + _file("page.css")


@cache
def _script() -> str:
    return _file("page.js")


def _file(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def page(report: Report, *, gate: Decision | None = None, bench: BenchReport | None = None) -> str:
    """The page as one file that loads nothing.

    Args:
        report: the run.
        gate: the gate's decision on it; None is shown as not run.
        bench: times and memory; None is shown as not run.
    """
    sections = list(_sections(report, gate, bench))
    body = el(
        "body",
        el("a", "Skip to the results", href="#main", class_="skip"),
        _header(report, gate, sections),
        el(
            "main",
            (
                el(
                    "section",
                    el("h2", title, id=f"{name}-title"),
                    content,
                    id=name,
                    aria_labelledby=f"{name}-title",
                )
                for name, title, content in sections
            ),
            id="main",
        ),
        _footer(report),
        el("p", role="status", aria_live="polite", id="said", class_="skip"),
        script(),
    )
    head = el(
        "head",
        el("meta", charset="utf-8"),
        head_assets(),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", f"Parity: {report.status}"),
    )
    return f"<!DOCTYPE html>\n{el('html', head, body, lang='en')}\n"


def _sections(
    report: Report, gate: Decision | None, bench: BenchReport | None
) -> Iterator[tuple[str, str, Child]]:
    yield "gate", "Release gate, rule by rule", gate_section(gate)
    found = problems_section(report)
    if found:
        yield "problems", "What did not pass", found
    yield (
        "outputs",
        "Results by output",
        [ratio_chart(report.groups), groups_table(report.groups), decisions_table(report.groups)],
    )
    yield "errors", "Errors of the images", error_chart(report.rows)
    yield "worst", "Images with the largest error", _worst(report)
    yield "latency", "Latency", latency_section(bench)
    yield "memory", "Memory", memory_section(bench)
    yield "rows", "Every comparison", rows_tables(report)
    yield "placement", "Where the nodes ran", placement_section(report)
    yield "provenance", "Provenance", provenance_section(report)
    yield "environment", "Environment", pairs("Where and how it was measured", report.environment)


def _worst(report: Report) -> list[Child]:
    shown = list(worst_images(report))
    if not shown:
        return [el("p", state("not run"), " This report keeps no pictures.")]
    note = (
        "Reference and candidate share one grey scale, so they look alike where all is well. The "
        "error's scale begins at 0 and ends at the picture's largest error, however small; of the "
        "values behind one dot it shows the largest."
    )
    absent = without_pictures(report)
    more = el("p", f"No picture of: {', '.join(absent)}.", class_="muted") if absent else None
    return [el("p", note), shown, more]


def _header(
    report: Report, gate: Decision | None, sections: list[tuple[str, str, Child]]
) -> Markup:
    links = [el("li", el("a", title, href=f"#{name}")) for name, title, _ in sections]
    return el(
        "header",
        el("h1", "Parity report"),
        el(
            "p",
            el("span", "comparison ", state(report.status.value)),
            el("span", "release gate ", state(gate.verdict if gate else "not run")),
            class_="verdict",
        ),
        el("p", _sentence(report)),
        el(
            "dl",
            (el("div", el("dt", name), el("dd", value)) for name, value in _facts(report)),
            class_="facts",
        ),
        el("nav", el("ul", links), aria_label="Sections"),
    )


def _sentence(report: Report) -> str:
    """What was compared with what, and with whose weights."""
    weights = dict.fromkeys(str(_label(given.get("weights"))) for given in report.models.values())
    return (
        f"{', '.join(report.models) or 'No model'}: each image and output compared with the same "
        f"network in float64; {', '.join(weights) or 'no weights'}."
    )


def _label(weights: object) -> object:
    return weights.get("label", "unknown weights") if isinstance(weights, dict) else "no weights"


def _facts(report: Report) -> Iterator[tuple[str, Child]]:
    yield from count_cases(report).items()
    counts = {status: sum(row.status is status for row in report.all_rows) for status in Status}
    for status, number in counts.items():
        yield TILES[status], number
    if failed_outputs(report.groups):
        yield "outputs failed as a whole", failed_outputs(report.groups)
    if report.resumed_cases:
        yield "from an interrupted run", count(report.resumed_cases, "case")


def _footer(report: Report) -> Markup:
    digest = str(report.document()["digest"])
    return el(
        "footer",
        el(
            "p",
            "Made from ",
            el("code", "parity.json"),
            f", schema version {SCHEMA_VERSION}, digest ",
            el("code", digest),
            ". Every figure on this page is in it, or in the gate's "
            "decision or the benchmark that came with it.",
        ),
    )
