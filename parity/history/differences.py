"""Two reports, figure by figure: the same, within the noise, better or worse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from trufor_onnx.chunking.external_data import whole_digest
from trufor_onnx.documents import below
from trufor_onnx.errors import ParityError
from trufor_onnx.parity.gate.costs import (
    CANDIDATE,
    Costs,
    changes_across,
    changes_in_turns,
    costs_of,
    different_environment,
    files_of,
    is_costs,
    unmeasured,
)
from trufor_onnx.parity.inputs.cases import is_made
from trufor_onnx.parity.results.rows import SOURCE, Report, Row, from_document
from trufor_onnx.parity.results.sketch import ROUNDING, differing, recorded, who_of
from trufor_onnx.parity.results.statistics import median_interval
from trufor_onnx.parity.runners.onnxruntime_runner import BACKEND

CONFIDENCE = 0.99
LEAST_EFFECT = 0.02  # of a time; smaller ones are not worth a line of their own
MEMORY_NOISE = 0.02  # peaks of fresh processes repeat within this share

Place = tuple[str, ...]
Files = Mapping[tuple[str, str], set[str]]
Names = dict[tuple[str, str], str]


class Trend(StrEnum):
    """What a difference means."""

    SAME = "the same"
    NOISE = "within noise"
    BETTER = "better"
    WORSE = "worse"
    CHANGED = "changed"
    NEW = "new"
    GONE = "gone"
    UNKNOWN = "not comparable"


@dataclass(frozen=True)
class Difference:
    """One figure in two reports.

    Attributes:
        what: of what, the same text in every report.
        old: as it was.
        new: as it is.
        verdict: what that means.
        why: by what it was judged.
    """

    what: str
    old: str
    new: str
    verdict: Trend
    why: str = ""


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], names: tuple[str, str]
) -> list[Difference]:
    """Two documents of one kind, compared.

    Args:
        old: a ``parity.json`` or ``bench.json``.
        new: another of the same kind.
        names: what errors call them.

    Raises:
        ParityError: one is no such report, or they are of two kinds.
    """
    if is_costs(old) != is_costs(new):
        raise ParityError(
            f"{names[0]} and {names[1]} are of two kinds",
            hint="compare a parity.json with a parity.json, a bench.json with a bench.json",
        )
    if is_costs(old):
        return list(_costs(*_costs_renamed(costs_of(old, names[0]), costs_of(new, names[1]))))
    return list(_reports(from_document(old, names[0]), from_document(new, names[1])))


def _same_bytes(old: Files, new: Files) -> tuple[Names, Names]:
    """Files that are called otherwise in the other report, of the same bytes: one name for both.

    Such as a file that was judged as a candidate before it was exported. An exported variant's
    name goes before ``candidate``.

    Args:
        old: digests by model and variant.
        new: likewise.

    Returns:
        New names by model and variant, of the old report and of the new one.
    """
    names: tuple[Names, Names] = ({}, {})
    for key, digests in old.items():
        for other, theirs in new.items():
            if key[0] != other[0] or key in new or other in old or not digests & theirs:
                continue
            if other[1] == CANDIDATE:
                names[1][other] = key[1]
            else:
                names[0][key] = other[1]
    return names


def _costs_renamed(old: Costs, new: Costs) -> tuple[Costs, Costs]:
    names = _same_bytes(files_of(old), files_of(new))

    def renamed(costs: Costs, given: Names) -> Costs:
        entries = [
            replace(cost, variant=given.get((cost.model, cost.variant), cost.variant))
            for cost in costs.entries.values()
        ]
        return replace(costs, entries={cost.key: cost for cost in entries})

    return renamed(old, names[0]), renamed(new, names[1])


def _reports(old: Report, new: Report) -> Iterator[Difference]:
    for model in dict.fromkeys([*old.models, *new.models]):
        files = [_short(whole_digest(below(r.models, model, "file"))) for r in (old, new)]
        yield _plain(f"{model}: file", files[0], files[1])
        weights = [_short(below(r.models, model, "weights", "digest")) for r in (old, new)]
        yield _plain(f"{model}: weights", weights[0], weights[1])
    yield from _outputs(old, new)
    limits = [_short(r.environment.get("tolerances_sha256")) for r in (old, new)]
    yield _plain("tolerances", limits[0], limits[1])
    yield _plain("verdict", old.status.value, new.status.value)
    names = _same_bytes(old.digests(), new.digests())
    theirs, ours = _errors(old, names[0]), _errors(new, names[1])
    for place in dict.fromkeys([*theirs, *ours]):
        yield _error("MAE of " + " ".join(place), theirs.get(place, {}), ours.get(place, {}))


def _outputs(old: Report, new: Report) -> Iterator[Difference]:
    """What the networks themselves compute: under one version and weights, always the same."""
    before, after = recorded(old, "the old report"), recorded(new, "the new report")
    for model, about in new.models.items():
        who = who_of(about)
        if who is None or who not in before.networks or who not in after.networks:
            continue
        what = f"{model}: float64 outputs"
        count, wrong = differing(before, after, who, ROUNDING)
        problems = list(wrong)
        if problems:
            why = (
                f"{problems[0]}; the network's code or preprocessing changed: give it a new version"
            )
            yield Difference(what, "", f"{len(problems)} of {count} others", Trend.WORSE, why)
        elif count:
            yield Difference(what, f"{count}", f"{count}", Trend.SAME)


def _short(digest: object) -> str:
    return str(digest or "absent")[:16]


def _errors(report: Report, names: Names) -> dict[Place, dict[str, float]]:
    """Errors by image, for each output of each candidate, images and shapes apart."""
    found: dict[Place, dict[str, float]] = {}
    for cases, rows in (("images", report.rows), ("shapes", report.shape_rows)):
        for row in rows:
            if row.backend != SOURCE and row.mae is not None and not is_made(row.image):
                found.setdefault(_place(row, cases, names), {})[
                    f"{row.image} {row.image_sha256}"
                ] = row.mae
    return found


def _place(row: Row, cases: str, names: Names) -> Place:
    variant = names.get((row.model, row.variant), row.variant)
    other = () if row.backend == BACKEND else (row.backend,)  # the usual one is not named
    return (row.model, variant, row.output, "on", cases, *other, row.provider)


def _error(what: str, old: Mapping[str, float], new: Mapping[str, float]) -> Difference:
    """Errors on the same images, image by image."""
    shared = sorted(old.keys() & new.keys())
    before, after = _mean(old), _mean(new)
    if not old or not new:
        return Difference(what, before, after, Trend.GONE if old else Trend.NEW)
    if not shared:
        return Difference(what, before, after, Trend.UNKNOWN, "no image in common")
    pairs = [(old[key], new[key]) for key in shared]
    if all(a == b for a, b in pairs):
        return Difference(what, before, after, Trend.SAME)
    if min(min(pair) for pair in pairs) <= 0.0:
        return Difference(what, before, after, Trend.CHANGED, "an error of exactly 0")
    found = median_interval([math.log(b / a) for a, b in pairs], CONFIDENCE)
    if found is None:
        return Difference(what, before, after, Trend.UNKNOWN, f"{len(pairs)} images are too few")
    low, middle, high = (math.exp(value) for value in (found.low, found.median, found.high))
    why = f"{middle:.3f} times, {low:.3f} to {high:.3f}, over {len(pairs)} images"
    verdict = Trend.WORSE if low > 1.0 else Trend.BETTER if high < 1.0 else Trend.NOISE
    return Difference(what, before, after, verdict, why)


def _costs(old: Costs, new: Costs) -> Iterator[Difference]:
    elsewhere = different_environment(new, old)
    if elsewhere:
        yield Difference("environment", "", "", Trend.UNKNOWN, elsewhere)
        return
    turns = changes_in_turns(new, files_of(old), CONFIDENCE)
    for change in (changes_across(new, old, CONFIDENCE) | turns).values():
        what = f"time of {change.name}"
        if change.ratio is None:
            yield Difference(what, "", "", Trend.UNKNOWN, change.problem)
            continue
        worse, better = change.slower(LEAST_EFFECT), change.faster(LEAST_EFFECT)
        verdict = Trend.WORSE if worse else Trend.BETTER if better else Trend.NOISE
        yield Difference(what, "1.00", f"{change.ratio.median:.2f}", verdict, str(change))
    for lost in unmeasured(new, old):
        yield Difference(lost, "measured", "", Trend.GONE)
    for key, cost in new.entries.items():
        before = old.entries[key].peak_bytes if key in old.entries else None
        if before and cost.peak_bytes:
            yield _memory(cost.name, before, cost.peak_bytes)


def _memory(name: str, before: int, after: int) -> Difference:
    share = after / before
    worse, better = share > 1.0 + MEMORY_NOISE, share < 1.0 - MEMORY_NOISE
    verdict = Trend.WORSE if worse else Trend.BETTER if better else Trend.NOISE
    old, new = (f"{value / 2**20:.0f} MiB" for value in (before, after))
    return Difference(f"peak memory of {name}", old, new, verdict, f"{share:.3f} times")


def _plain(what: str, old: str, new: str) -> Difference:
    return Difference(what, old, new, Trend.SAME if old == new else Trend.CHANGED)


def _mean(errors: Mapping[str, float]) -> str:
    return f"{math.fsum(errors.values()) / len(errors):.3e}" if errors else ""
