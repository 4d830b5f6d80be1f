"""What did not pass, in sentences."""

from __future__ import annotations

import re

from parity.report.references import backend_name
from parity.results import Report, Row, Status

FIGURE = re.compile(r"\d[\d.,]*(?:e[+-]?\d+)?")  # reasons that differ in figures only are one


def problems(report: Report, most: int) -> list[str]:
    """What did not pass, a sentence each: groups first, then images and shapes by their reason.

    Args:
        report: the run.
        most: how many sentences before the rest is only counted.
    """
    found = [
        f"{group.status}: {group.model} {group.output} on {group.cases}, "
        f"{backend_name(group)}: {group.reason}"
        for group in report.groups
        if group.status is not Status.PASS
    ]
    found += _of_rows(report)
    if not found and report.status is not Status.PASS:
        found = [f"{report.status}: nothing was compared with PyTorch for at least one model"]
    unique = list(dict.fromkeys(found))
    more = [f"and {len(unique) - most} more, all in parity.json"] if len(unique) > most else []
    return unique[:most] + more


def _of_rows(report: Report) -> list[str]:
    """A sentence for each reason, with the first that it holds for and how many there are."""
    by_reason: dict[tuple[Status, str], list[Row]] = {}
    for row in report.all_rows:
        if row.status is not Status.PASS:
            by_reason.setdefault((row.status, FIGURE.sub("#", row.reason)), []).append(row)
    found = []
    for (status, _), rows in by_reason.items():
        first = rows[0]
        name = f"{first.image} {first.model} {first.output}".rstrip()
        if len(rows) == 1:
            found.append(f"{status}: {name}: {first.reason}")
        else:
            found.append(f"{status}: {len(rows)} comparisons: {first.reason} (first: {name})")
    return found
