"""A folder of reports over releases: what is as it is since when."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from trufor_onnx.chunking.folders import LOCK_SUFFIX
from trufor_onnx.console import printable
from trufor_onnx.errors import ParityError
from trufor_onnx.parity.gate.costs import is_costs
from trufor_onnx.parity.gate.evidence import read_json
from trufor_onnx.parity.history.differences import Difference, Trend, differences

MOVED = (Trend.BETTER, Trend.WORSE, Trend.CHANGED, Trend.NEW, Trend.GONE)
ORDER = (
    *(Trend.WORSE, Trend.UNKNOWN, Trend.GONE, Trend.CHANGED),
    *(Trend.NEW, Trend.BETTER, Trend.NOISE, Trend.SAME),
)


@dataclass(frozen=True)
class Step:
    """One figure's last change.

    Attributes:
        what: of what.
        now: as it is in the last release that has it.
        since: the release that changed it, or the first one.
        change: the difference that it made, or None where it never changed.
    """

    what: str
    now: str
    since: str
    change: Difference | None


@dataclass(frozen=True)
class Timeline:
    """Releases in order, and each figure's last change.

    Attributes:
        releases: names, oldest first.
        steps: a figure each.
        not_comparable: pairs of releases that could not be compared, and why.
    """

    releases: tuple[str, ...]
    steps: tuple[Step, ...]
    not_comparable: tuple[str, ...]


def timeline(folder: Path) -> list[Timeline]:
    """The history of parity reports, and that of bench reports, where there are two or more.

    Releases are in the order of their names, numbers as numbers: ``models-1.9`` before
    ``models-1.10``. A report is called by its folder, or by its file's name.

    Raises:
        ParityError: no two reports of a kind, or one cannot be read.
    """
    if not folder.is_dir():
        raise ParityError(f"no folder {folder}", hint="name a folder with a report a release")
    parity: list[tuple[str, dict[str, Any]]] = []
    bench: list[tuple[str, dict[str, Any]]] = []
    for name, path in sorted(_reports(folder), key=lambda item: natural(item[0])):
        document = read_json(path)
        if is_costs(document):
            bench.append((name, document))
        elif "rows" in document and "summary" in document:
            parity.append((name, document))
    found = [_timeline(reports) for reports in (parity, bench) if len(reports) > 1]
    if not found:
        raise ParityError(
            f"{folder} holds no two reports of a kind",
            hint="put parity.json and bench.json of each release in a folder of its own",
        )
    return found


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers in names as numbers."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _reports(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*.json"):
        if path.is_file() and path.name not in ("manifest.json", "gate.json"):
            if path.name.endswith(LOCK_SUFFIX):
                continue
            same = path.parent == folder
            yield (path.stem if same else path.parent.relative_to(folder).as_posix()), path


def _timeline(reports: list[tuple[str, dict[str, Any]]]) -> Timeline:
    names = tuple(name for name, _ in reports)
    steps: dict[str, Step] = {}
    cannot = []
    for (before, old), (after, new) in pairwise(reports):
        for found in differences(old, new, (before, after)):
            if found.verdict is Trend.UNKNOWN:
                cannot.append(f"{before} to {after}: {found.what}: {found.why}")
                continue
            known = steps.get(found.what)
            if found.verdict in MOVED:
                steps[found.what] = Step(found.what, found.new, after, found)
            else:
                since, change = (known.since, known.change) if known else (before, None)
                steps[found.what] = Step(found.what, found.new, since, change)
    return Timeline(names, tuple(steps.values()), tuple(cannot))


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
