"""Where everything came from: files, weights, providers, machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trufor_onnx.documents import mapping
from trufor_onnx.parity.report.html.elements import (
    ABSENT,
    Cell,
    Child,
    Markup,
    count,
    el,
    mebibytes,
    state,
    table,
)
from trufor_onnx.parity.report.sentences import placement_lines
from trufor_onnx.parity.report.text import ORDER
from trufor_onnx.parity.results.rows import Group, Report, Row, Status

APART = ("placement",)  # shown in a section of its own
PLACEMENT = (
    "model",
    "asked for",
    "computed by",
    "nodes",
    "share of time",
    "operators computed elsewhere",
)
MOST_REASONS = 60
MOST_NAMES = 12
Reasons = dict[tuple[Status, str], list[str]]


def placement_section(report: Report) -> Markup:
    """Which provider computed how many nodes. What was not profiled is not known, and said so."""
    rows: list[tuple[Child | Cell, ...]] = []
    for model, given in report.models.items():
        placement = mapping(given.get("placement"))
        if not placement:
            unknown = Cell(ABSENT, None)
            rows.append((model, ABSENT, state("not run"), unknown, unknown, "not profiled"))
        for provider, found in placement.items():
            placed = mapping(found)
            shares = mapping(placed.get("time_share"))
            lost = mapping(placed.get("fell_back_ops"))
            elsewhere = ", ".join(f"{name} {number}" for name, number in lost.items()) or "none"
            for name, number in mapping(placed.get("nodes")).items():
                rows.append(
                    (model, provider, name, _number(number), _share(shares.get(name)), elsewhere)
                )
    found = table("Nodes of one profiled run, by the provider that computed them", PLACEMENT, rows)
    settings = [line for line in placement_lines(report) if ";" in line]
    return el("div", found, el("ul", (el("li", line) for line in settings)) if settings else None)


def provenance_section(report: Report) -> Iterator[Markup]:
    """Of each model everything that the report says: file, weights, digests, preprocessing."""
    for model, given in report.models.items():
        file, weights = mapping(given.get("file")), mapping(given.get("weights"))
        size = file.get("size_bytes")
        yield el("h3", model)
        yield el(
            "p",
            state(str(given.get("proof", "proof unknown"))),
            " ",
            el("b", str(file.get("name", "no file"))),
            f", {mebibytes(size)}" if isinstance(size, int) else None,
            f"; {weights.get('label', 'unknown weights')}",
        )
        shown = {name: value for name, value in given.items() if name not in APART}
        yield pairs(f"Provenance of {model}", shown)


def pairs(caption: str, document: Mapping[str, Any]) -> Markup:
    """Everything in a JSON object, a line a value."""
    lines = [(path, el("code", value)) for path, value in flat(document)]
    return table(caption, ("what", "value"), lines, sortable=False)


def flat(document: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Paths and values of a JSON object, in its order; what is empty or null is left out."""
    for name, value in document.items():
        path = f"{before}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from flat(value, f"{path} › ")
        elif isinstance(value, list | tuple):
            if value:
                yield path, ", ".join(map(str, value))
        elif value is not None and value != "":
            yield (
                path,
                {True: "yes", False: "no"}.get(value, str(value))
                if isinstance(value, bool)
                else str(value),
            )


def _number(value: object) -> Cell:
    return Cell(str(value), float(value) if isinstance(value, int | float) else None)


def _share(value: object) -> Cell:
    return (
        Cell(f"{100 * value:.1f} %", value)
        if isinstance(value, int | float)
        else Cell(ABSENT, None)
    )


def problems_section(report: Report) -> Markup | None:
    """Failures first; None where all passed."""
    found: Reasons = {}
    for group in report.groups:
        if group.status is not Status.PASS and not group.counts.get(group.status.value, 0):
            _add(found, group, f"{group.model} {group.output} on {group.cases}, {_ran(group)}")
    for row in report.all_rows:
        if row.status is not Status.PASS:
            _add(found, row, f"{row.image}: {row.model} {row.output}, {_ran(row)}".rstrip(", "))
    if not found and report.status is not Status.PASS:
        nothing = "nothing was compared with PyTorch for at least one model"
        found[report.status, nothing] = list(report.models)
    if not found:
        return None
    entries = sorted(found.items(), key=lambda entry: ORDER.index(entry[0][0]))
    items = [_item(status, reason, names) for (status, reason), names in entries[:MOST_REASONS]]
    if len(entries) > MOST_REASONS:
        rest = count(len(entries) - MOST_REASONS, "more reason")
        items.append(el("li", f"and {rest}, all in parity.json"))
    return el("ul", items, class_="rules")


def failed_outputs(groups: Iterable[Group]) -> int:
    """Outputs that fail as a whole, also where each single comparison passed."""
    return sum(group.status is Status.FAIL for group in groups)


def _item(status: Status, reason: str, names: list[str]) -> Markup:
    unique = list(dict.fromkeys(names))
    shown: list[Child] = [el("li", name) for name in unique[:MOST_NAMES]]
    if len(unique) > MOST_NAMES:
        shown.append(el("li", f"and {len(unique) - MOST_NAMES} more, all in parity.json"))
    where: Markup = (
        el("p", unique[0], class_="muted")
        if len(unique) == 1
        else el("details", el("summary", count(len(unique), "comparison")), el("ul", shown))
    )
    return el("li", el("p", state(status.value), f" {reason or 'without a reason'}"), where)


def _add(found: Reasons, of: Row | Group, name: str) -> None:
    found.setdefault((of.status, of.reason), []).append(name)


def _ran(of: Row | Group) -> str:
    return " ".join(part for part in (of.variant, of.backend, of.provider) if part)
