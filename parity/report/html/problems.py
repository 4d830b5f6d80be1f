"""What did not pass, each reason once with everything that it holds for."""

from __future__ import annotations

from collections.abc import Iterable

from parity.report.html.tags import Child, Markup, el
from parity.report.html.words import count, state
from parity.report.tables import ORDER
from parity.results import Group, Report, Row, Status

MOST_REASONS = 60
MOST_NAMES = 12

Reasons = dict[tuple[Status, str], list[str]]


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
