"""What did not pass, in sentences."""

from __future__ import annotations

from parity.report.references import backend_name
from parity.results import Report, Status


def problems(report: Report, most: int) -> list[str]:
    """What did not pass, a sentence each: groups first, then images and shapes.

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
    found += [
        f"{row.status}: {row.image} {row.model} {row.output}".rstrip() + f": {row.reason}"
        for row in report.all_rows
        if row.status is not Status.PASS
    ]
    if not found and report.status is not Status.PASS:
        found = [f"{report.status}: nothing was compared with PyTorch for at least one model"]
    unique = list(dict.fromkeys(found))
    more = [f"and {len(unique) - most} more, all in parity.json"] if len(unique) > most else []
    return unique[:most] + more
