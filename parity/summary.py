"""From rows to groups: mean, spread, worst, and the accuracy ratio over all images together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence

from parity.made import is_made
from parity.metrics import accuracy_ratio
from parity.noise import least_mean_ratio
from parity.outcomes import LABELS, LABELS_FLOOR, worst_outcome
from parity.results import SOURCE, Group, Row, Status, worst_status
from parity.tolerances import tolerance_for

Key = tuple[str, str, str, str, str, bool]
Sources = dict[tuple[str, str, str], float | None]
FEW = 5  # cases: of fewer an interval says nothing
CONFIDENCE = 0.99  # one-sided
MADE = "made"  # what a group of made pictures is called


def summarise(rows: Sequence[Row], cases: str) -> list[Group]:
    """Every model x variant x backend x provider x output, in the order of the rows.

    The group's accuracy ratio is mean error over mean error, not a mean of ratios: a single image
    on which PyTorch happens to be exact would outweigh all others.

    Args:
        rows: judged rows.
        cases: ``images`` or ``shapes``; made pictures among them are groups of their own, ``made``.
    """
    source = _source(rows)
    return [_group(members, source, cases) for members in _members(rows)]


def over_their_ratio(rows: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    """A row of each group whose ratio is over its limit, and why, whatever its rows say."""
    source = _source(rows)
    for members in _members(rows):
        maes, of_source = _errors(members, source)
        problem = ratio_problem(members[0], maes, of_source) if maes else ""
        if problem:
            yield members[0], problem


def ratio_problem(about: Row, maes: Sequence[float], of_source: Sequence[float]) -> str:
    """Why a group's accuracy ratio is too high, or "".

    An image's error is a matter of luck where one rounding decides it (`mit_b2/fused_0`: 0.55 to
    2.9 of PyTorch's on 24 images), so a ratio over the limit counts only if its interval's low
    end is over it too. Fewer than `FEW` cases forgive nothing.

    Args:
        about: a row of the group.
        maes: mean absolute error of each case.
        of_source: PyTorch float32's, in the same order; fewer where one is not known.
    """
    tolerance = tolerance_for(about.model, about.variant, about.output)
    if is_made(about.image):
        return ""  # every pixel of a flat picture repeats one rounding: its ratio is chance
    if LABELS in about.outcome and statistics.fmean(maes) <= LABELS_FLOOR:
        return ""  # a handful of near ties, where PyTorch float32 may have none
    if statistics.fmean(maes) <= tolerance.noise_floor:
        return ""
    ratio = _ratio(maes, of_source)
    if ratio is None:
        return f"accuracy ratio unknown is over {tolerance.accuracy_ratio:g} ({tolerance.reason})"
    if ratio <= tolerance.accuracy_ratio:
        return ""
    over = f"accuracy ratio {ratio:.3f} is over {tolerance.accuracy_ratio:g}"
    if len(maes) < FEW:
        return f"{over}; take more than {len(maes)} cases to tell noise ({tolerance.reason})"
    least = least_mean_ratio(maes, of_source, CONFIDENCE)
    if least <= tolerance.accuracy_ratio:
        return ""
    return f"{over}, with noise at least {least:.3f} ({tolerance.reason})"


def _members(rows: Sequence[Row]) -> Iterable[list[Row]]:
    by_key: dict[Key, list[Row]] = {}
    for row in rows:
        if row.output:
            made = is_made(row.image)
            key = (row.model, row.variant, row.backend, row.provider, row.output, made)
            by_key.setdefault(key, []).append(row)
    return by_key.values()


def _source(rows: Sequence[Row]) -> Sources:
    return {(row.model, row.image, row.output): row.mae for row in rows if row.backend == SOURCE}


def _ratio(maes: Sequence[float], of_source: Sequence[float]) -> float | None:
    """Mean over mean; None where there is no error, or not PyTorch's for each."""
    if not maes or len(of_source) != len(maes):
        return None
    return accuracy_ratio(statistics.fmean(maes), statistics.fmean(of_source))


def _errors(members: list[Row], source: Sources) -> tuple[list[float], list[float]]:
    """Errors of the rows that have one, and PyTorch's on the same cases as far as known."""
    measured = [row for row in members if row.mae is not None]
    maes = [row.mae for row in measured if row.mae is not None]
    of_source = [source.get((row.model, row.image, row.output)) for row in measured]
    return maes, [mae for mae in of_source if mae is not None]


def _group(members: list[Row], source: Sources, cases: str) -> Group:
    first = members[0]
    measured = [row for row in members if row.mae is not None]
    torch32 = [row.mae_torch32 for row in measured if row.mae_torch32 is not None]
    maes, of_source = _errors(members, source)
    status, reason = _verdict(members, maes, of_source)
    return Group(
        cases=MADE if is_made(first.image) else cases,
        model=first.model,
        variant=first.variant,
        weights=first.weights,
        proof=first.proof,
        backend=first.backend,
        provider=first.provider,
        output=first.output,
        rows=len(measured),
        counts={s.value: sum(row.status is s for row in members) for s in Status},
        mean=_mean(maes),
        std=_spread(maes),
        worst=max(maes, default=None),
        mean_torch32=_mean(torch32),
        std_torch32=_spread(torch32),
        worst_torch32=max(torch32, default=None),
        max_abs=max((row.max_abs for row in measured if row.max_abs is not None), default=None),
        accuracy_ratio=_ratio(maes, of_source),
        status=status,
        reason=reason,
        outcome=worst_outcome(row.outcome for row in measured),
    )


def _verdict(members: list[Row], maes: list[float], of_source: list[float]) -> tuple[Status, str]:
    """The worst row, then the group's own limit."""
    status = worst_status([row.status for row in members])
    if status is not Status.PASS:
        bad = [row for row in members if row.status is status]
        return status, f"{len(bad)} of {len(members)}: {bad[0].image}: {bad[0].reason}"
    # A made picture on which the network itself has no answer is said, and not judged.
    unjudged = sum(is_made(row.image) and row.status is Status.NOT_RUN for row in members)
    if len(maes) + unjudged != len(members):
        return Status.FAIL, "a row passed without a figure"
    problem = ratio_problem(members[0], maes, of_source)
    return (Status.FAIL, problem) if problem else (status, "")


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return statistics.fmean(found) if found else None


def _spread(values: Sequence[float]) -> float | None:
    """The standard deviation over the images (0.0 for one)."""
    return statistics.pstdev(values) if values and all(map(math.isfinite, values)) else None
