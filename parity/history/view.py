"""Differences and histories as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from parity.history.differences import Difference, Verdict
from parity.history.timeline import Timeline
from parity.report.text import printable

ORDER = (
    *(Verdict.WORSE, Verdict.UNKNOWN, Verdict.GONE, Verdict.CHANGED),
    *(Verdict.NEW, Verdict.BETTER, Verdict.NOISE, Verdict.SAME),
)


def difference_lines(found: Iterable[Difference]) -> Iterator[str]:
    """What is worse first, then what could not be compared, then the rest; at last the counts."""
    rows = sorted(found, key=lambda row: ORDER.index(row.verdict))
    for row in rows:
        values = f"{row.old} -> {row.new}" if row.old != row.new else row.new
        why = f" ({row.why})" if row.why else ""
        yield printable(f"{row.verdict.value:14} {row.what}: {values}{why}")
    counts = {verdict: sum(row.verdict is verdict for row in rows) for verdict in ORDER}
    yield ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count) or "nothing"


def timeline_lines(history: Timeline) -> Iterator[str]:
    """What changed last and when, the latest change first."""
    yield printable(f"{len(history.releases)} releases: {', '.join(history.releases)}")
    order = {name: index for index, name in enumerate(history.releases)}
    steps = sorted(history.steps, key=lambda s: (s.change is None, -order[s.since], s.what))
    for step in steps:
        if step.change is None:
            yield printable(f"  {step.what}: {step.now}, as in {step.since}")
            continue
        change = step.change
        why = f" ({change.why})" if change.why else ""
        yield printable(
            f"  {step.what}: {change.verdict} since {step.since}: {change.old} -> {change.new}{why}"
        )
    for line in history.not_comparable:
        yield printable(f"  not comparable: {line}")


def documents(found: Iterable[Difference]) -> list[dict[str, Any]]:
    """Differences as JSON has them."""
    return [asdict(row) | {"verdict": row.verdict.value} for row in found]
