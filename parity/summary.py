"""From rows to groups: mean, spread, worst, and the accuracy ratio over all images together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from parity.metrics import accuracy_ratio
from parity.outcomes import worst_outcome
from parity.results import SOURCE, Group, Row, Status, worst_status
from parity.tolerances import tolerance_for

Key = tuple[str, str, str, str, str]


def summarise(rows: Sequence[Row], cases: str) -> list[Group]:
    """Every model x variant x backend x provider x output, in the order of the rows.

    The group's accuracy ratio is mean error over mean error, not a mean of ratios: a single image
    on which PyTorch happens to be exact would outweigh all others.

    Args:
        rows: judged rows.
        cases: ``images`` or ``shapes``.
    """
    by_key: dict[Key, list[Row]] = {}
    for row in rows:
        if row.output:
            key = (row.model, row.variant, row.backend, row.provider, row.output)
            by_key.setdefault(key, []).append(row)
    source = {(row.model, row.image, row.output): row.mae for row in rows if row.backend == SOURCE}
    return [_group(members, source, cases) for members in by_key.values()]


def _group(
    members: list[Row], source: dict[tuple[str, str, str], float | None], cases: str
) -> Group:
    first = members[0]
    measured = [row for row in members if row.mae is not None]
    maes = [row.mae for row in measured if row.mae is not None]
    torch32 = [row.mae_torch32 for row in measured if row.mae_torch32 is not None]
    of_source = [source.get((row.model, row.image, row.output)) for row in measured]
    known = [mae for mae in of_source if mae is not None]
    ratio = None
    if maes and len(known) == len(maes):
        ratio = accuracy_ratio(statistics.fmean(maes), statistics.fmean(known))
    status, reason = _verdict(members, ratio, maes)
    return Group(
        cases=cases,
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
        accuracy_ratio=ratio,
        status=status,
        reason=reason,
        outcome=worst_outcome(row.outcome for row in measured),
    )


def _verdict(members: list[Row], ratio: float | None, maes: list[float]) -> tuple[Status, str]:
    """The worst row, then the group's own limit."""
    status = worst_status([row.status for row in members])
    if status is not Status.PASS:
        bad = [row for row in members if row.status is status]
        return status, f"{len(bad)} of {len(members)}: {bad[0].image}: {bad[0].reason}"
    if len(maes) != len(members):
        return Status.FAIL, "a row passed without a figure"
    first = members[0]
    tolerance = tolerance_for(first.model, first.variant, first.output)
    if statistics.fmean(maes) <= tolerance.noise_floor:
        return status, ""
    if ratio is None or not ratio <= tolerance.accuracy_ratio:  # NaN ends here too
        shown = "unknown" if ratio is None else f"{ratio:.3f}"
        return Status.FAIL, (
            f"accuracy ratio {shown} is over {tolerance.accuracy_ratio:g} ({tolerance.reason})"
        )
    return status, ""


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return statistics.fmean(found) if found else None


def _spread(values: Sequence[float]) -> float | None:
    """The standard deviation over the images (0.0 for one)."""
    return statistics.pstdev(values) if values and all(map(math.isfinite, values)) else None
