"""From rows to groups: mean, spread, worst, and the accuracy ratio over all images together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from trufor_onnx.export.graph.in_float64 import MOST_VALUES
from trufor_onnx.parity.inputs.cases import Case, is_made
from trufor_onnx.parity.inputs.looks import different
from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.limits import by_place, is_cleared, slack
from trufor_onnx.parity.results.metrics import LABELS, LABELS_FLOOR, accuracy_ratio, worst_outcome
from trufor_onnx.parity.results.rows import SOURCE, Group, Report, Row, Status, worst_status
from trufor_onnx.parity.results.statistics import least_mean, least_mean_ratio
from trufor_onnx.parity.results.tolerances import Tolerance, tolerance_for
from trufor_onnx.parity.results.witness import EPS, ROUNDINGS, Witness, find_witnesses, middle_of

Key = tuple[Contestant, str, bool]
Sources = Mapping[tuple[str, str, str], Row]
Documents = Mapping[str, Any]
IMAGES, SHAPES = "images", "shapes"
MADE = "made"  # what a group of made pictures is called
FEW = 5  # cases: of fewer an interval says nothing
MOST_CHANCES = 2  # rows of a group that a rounding may put over their limits
CONFIDENCE = 0.99  # one-sided
# A noise floor in the output's units counts up to this share of the outputs' own size: under it
# lie some tens of roundings of outputs near 1, not outputs that are as small themselves.
MOST_OF_SIZE = 1e-5
# A bias: this share of the error has one sign on every case, and it is this many times PyTorch's.
ONE_SIDED, TIMES_SOURCE = 0.9, 3.0
SURE = 0.999  # one-sided


class Witnessing(Protocol):
    """Computes a candidate in other ways, as `parity.running.side_by_side.Bench` does."""

    def witness(self, group: Group, case: Case | None) -> Witness | None:
        """What a group's candidate gives on a case; None: on the trial."""
        ...


def summarise(rows: Sequence[Row], cases: str, models: Documents | None = None) -> list[Group]:
    """Every model x variant x backend x provider x output, in the order of the rows.

    The group's accuracy ratio is mean error over mean error, not a mean of ratios: a single image
    on which PyTorch happens to be exact would outweigh all others.

    Args:
        rows: judged rows.
        cases: ``images`` or ``shapes``; made pictures among them are groups of their own, ``made``.
        models: the models' parts of the report, which may hold witnesses.
    """
    source = by_place(rows)
    return [
        _group(members, source, cases, (models or {}).get(members[0].model))
        for members in _members(rows)
    ]


def over_their_ratio(
    rows: Sequence[Row], cases: str, models: Documents | None = None
) -> Iterator[tuple[Row, str]]:
    """A candidate's row of each group that fails as one, and why, whatever its rows say."""
    source = by_place(rows)
    for members in _members(rows):
        if members[0].backend != SOURCE and any(row.mae is not None for row in members):
            document = (models or {}).get(members[0].model)
            witness = _witness(members[0], _kind(members[0], cases), document)
            problem = group_problem(members, source, document, witness)
            if problem:
                yield members[0], problem


def witnesses(
    bench: Witnessing,
    parts: Sequence[Sequence[Row]],
    images: Sequence[Case],
    shapes: Sequence[Case],
) -> list[dict[str, Any]]:
    """Ask a witness for each group of candidates that does not pass by its figures.

    On the worst case that is small enough to be computed in float64, of another group where this
    one has none, or else on the trial; of made pictures, and where limits are in the output's own
    units, on each case that fails (`_asked`).

    Args:
        bench: the network's runners.
        parts: one model's settled rows, of images and of shapes.
        images: the cases of the first part.
        shapes: those of the second.
    """
    found: list[dict[str, Any]] = []
    by_name = {case.name: case for case in (*images, *shapes)}
    every = [row for rows in parts for row in rows]
    source = by_place(every)
    for rows, kind in zip(parts, (IMAGES, SHAPES), strict=True):
        for members in _members(rows):
            group = _group(members, source, kind, None)
            if group.backend == SOURCE or group.status is not Status.FAIL or group.mean is None:
                continue
            alike = [row for row in every if _place(row) == _place(members[0])]
            for case in _asked(members, alike, source, by_name):
                witness = bench.witness(group, case)
                if witness is not None:
                    place = {"variant": group.variant, "provider": group.provider}
                    place["cases"] = group.cases
                    found.append(place | {"output": group.output} | asdict(witness))
    return found


def _small(members: Iterable[Row], source: Sources) -> list[str]:
    """Cases that a witness can compute, the last with the largest error that is not PyTorch's."""
    found: list[tuple[float, str]] = []
    for row in members:
        of_source = source.get((row.model, row.image, row.output))
        if of_source is None or of_source.mae is None or row.mae is None:
            continue
        if math.prod(row.shape) <= MOST_VALUES:
            found.append((row.mae - of_source.mae, row.image))
    return [image for _, image in sorted(found)]


def _asked(
    members: Sequence[Row], alike: Sequence[Row], source: Sources, cases: Mapping[str, Case]
) -> list[Case | None]:
    """On which cases a group's candidate is to be computed in float64; None: on the trial.

    Where a rounding decides a row, few of them are over their limits: of more than `MOST_CHANCES`
    no witness is asked, and they fail.
    """
    tolerance = _tolerance(members[0])
    failed = [row for row in members if row.status is Status.FAIL]
    if is_made(members[0].image):
        return [cases.get(row.image) for row in failed] or [None]
    if not tolerance.relative and tolerance.cleared > 1.0 and 0 < len(failed) <= MOST_CHANCES:
        there = [(cases.get(row.image), row) for row in failed]
        return [middle_of(case, row.shape) for case, row in there if case is not None]
    small = (_small(members, source) or _small(alike, source))[-1:]
    return [cases.get(image) for image in small] or [None]


def group_problem(
    members: Sequence[Row], source: Sources, document: object, witness: Witness | None
) -> str:
    """Why a group fails where each row passes, or ""."""
    same = ignored_input(members, source)
    if same:
        return same
    problem = ratio_problem(members, source)
    # The rows are within a small share of the spread; that it is rounding is shown, not hoped.
    if (
        problem
        and _tolerance(members[0]).relative
        and all(is_cleared(document, row) for row in members if row.mae is not None)
    ):
        return ""
    said = witness.sentence(_tolerance(members[0])) if problem and witness is not None else ""
    return "; ".join(filter(None, (problem, said)))


def ratio_problem(members: Sequence[Row], source: Sources) -> str:
    """Why a group's accuracy ratio is too high, or "".

    An image's error is a matter of luck where one rounding decides it (`mit_b2/fused_0`: 0.55 to
    2.9 of PyTorch's on 24 images), so a ratio over the limit counts only if its interval's low
    end is over it too. Fewer than `FEW` cases forgive nothing.
    """
    maes, of_source = _errors(members, source)
    tolerance = _tolerance(members[0])
    if not maes or is_made(members[0].image):
        return ""  # every pixel of a flat picture repeats one rounding: its ratio is chance
    if LABELS in members[0].outcome and statistics.fmean(maes) <= LABELS_FLOOR:
        return ""  # a handful of near ties, where PyTorch float32 may have none
    bias = _bias(members, maes, of_source, tolerance)
    if statistics.fmean(maes) <= _floor(members, tolerance):
        return bias if len(maes) >= FEW else ""
    bias = f"; {bias}" if bias else ""
    ratio, allowed = _ratio(maes, of_source), tolerance.accuracy_ratio
    if ratio is None:
        return f"accuracy ratio unknown is over {allowed:g} ({tolerance.reason})"
    if ratio <= allowed:
        return ""
    over = f"accuracy ratio {ratio:.3f} is over {allowed:g}"
    if len(maes) < FEW:
        few = f"{over}; take more than {len(maes)} cases to tell noise ({tolerance.reason})"
        return few + bias
    least = least_mean_ratio(maes, of_source, CONFIDENCE)
    if least <= allowed:
        return ""
    return f"{over}, with noise at least {least:.3f} ({tolerance.reason}){bias}"


def ignored_input(members: Sequence[Row], source: Sources) -> str:
    """Whether a candidate gives one answer to two inputs that the network tells apart."""
    seen: dict[str, Row] = {}
    for row in members:
        of_source = source.get((row.model, row.image, row.output))
        if not row.found_sha256 or row.reference is None or of_source is None:
            continue
        if of_source.max_abs is None:
            continue
        first = seen.setdefault(row.found_sha256, row)
        if first.reference is None or row.backend == SOURCE:
            continue
        ours, theirs = row.reference, first.reference
        apart = max(
            abs(a - b)
            for a, b in (
                (ours.low, theirs.low),
                (ours.high, theirs.high),
                (ours.mean, theirs.mean),
            )
        )
        if not apart <= 2.0 * slack(row, of_source, _tolerance(row)):
            return (
                f"the file ignores its input: {first.image} and {row.image} give the same values, "
                f"the float64 network's differ by {apart:.3g}"
            )
    return ""


def _bias(
    members: Sequence[Row], maes: Sequence[float], of_source: Sequence[float], given: Tolerance
) -> str:
    """Whether every case is off to the same side, by more than PyTorch's rounding, or ""."""
    biases = [row.bias for row in members if row.mae is not None and row.bias is not None]
    if given.judges_no_ratio or LABELS in members[0].outcome:
        return ""
    if not biases or not len(biases) == len(maes) == len(of_source):
        return ""
    mean, error = statistics.fmean(biases), statistics.fmean(maes)
    if len({math.copysign(1.0, bias) for bias in biases}) > 1 or abs(mean) < ONE_SIDED * error:
        return ""
    if not error > TIMES_SOURCE * statistics.fmean(of_source):
        return ""
    if len(biases) >= FEW and least_mean([abs(bias) for bias in biases], SURE) <= 0.0:
        return ""
    return f"biased: every case is off to the same side, by {mean:.3g} on average"


def _floor(members: Sequence[Row], tolerance: Tolerance) -> float:
    """Up to which mean error a ratio is not judged: rounding of the outputs themselves."""
    if tolerance.judges_no_ratio:
        return tolerance.noise_floor
    known = [row for row in members if row.reference is not None]
    sizes = [math.hypot(r.reference.mean, r.reference.std) for r in known if r.reference]
    if not sizes:
        return 0.0
    size = statistics.fmean(sizes)
    if tolerance.relative:
        return ROUNDINGS * EPS * size
    # One number an image is decided by one rounding inside, whatever its own size.
    if all(row.reference is None or row.reference.count <= row.shape[0] for row in known):
        return tolerance.noise_floor
    return min(tolerance.noise_floor, MOST_OF_SIZE * size)


def _kind(row: Row, cases: str) -> str:
    """What the group of a row is called."""
    return MADE if is_made(row.image) else cases


def _tolerance(row: Row) -> Tolerance:
    return tolerance_for(row.model, row.variant, row.output)


def _witness(row: Row, cases: str, document: object) -> Witness | None:
    found = find_witnesses(document, row.variant, row.provider, row.output, cases)
    return found[0] if found else None


def _members(rows: Sequence[Row]) -> Iterable[list[Row]]:
    by_key: dict[Key, list[Row]] = {}
    for row in rows:
        if row.output:
            by_key.setdefault(_place(row), []).append(row)
    return by_key.values()


def _place(row: Row) -> Key:
    """What tells groups of rows apart."""
    return Contestant.of(row), row.output, is_made(row.image)


def _ratio(maes: Sequence[float], of_source: Sequence[float]) -> float | None:
    """Mean over mean; None where there is no error, or not PyTorch's for each."""
    if not maes or len(of_source) != len(maes):
        return None
    return accuracy_ratio(statistics.fmean(maes), statistics.fmean(of_source))


def _errors(members: Sequence[Row], source: Sources) -> tuple[list[float], list[float]]:
    """Errors of the rows that have one, and PyTorch's on the same cases as far as known."""
    measured = [row for row in members if row.mae is not None]
    maes = [row.mae for row in measured if row.mae is not None]
    of_source = [source.get((row.model, row.image, row.output)) for row in measured]
    return maes, [row.mae for row in of_source if row is not None and row.mae is not None]


def _group(members: list[Row], source: Sources, cases: str, document: object) -> Group:
    first = members[0]
    measured = [row for row in members if row.mae is not None]
    torch32 = [row.mae_torch32 for row in measured if row.mae_torch32 is not None]
    maes, of_source = _errors(members, source)
    cases = _kind(first, cases)
    status, reason = _verdict(members, source, document, _witness(first, cases, document))
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
        accuracy_ratio=_ratio(maes, of_source),
        status=status,
        reason=reason,
        outcome=worst_outcome(row.outcome for row in measured),
    )


def _verdict(
    members: list[Row], source: Sources, document: object, witness: Witness | None
) -> tuple[Status, str]:
    """The worst row, then the group's own limits."""
    status = worst_status([row.status for row in members])
    if status is not Status.PASS:
        bad = [row for row in members if row.status is status]
        reasons = [f"{len(bad)} of {len(members)}: {bad[0].image}: {bad[0].reason}"]
        if status is Status.FAIL:
            said = witness.sentence(_tolerance(members[0])) if witness is not None else ""
            reasons += [ignored_input(members, source), said]
        return status, "; ".join(filter(None, reasons))
    # A made picture on which the network itself has no answer is said, and not judged.
    judged = [r for r in members if not (is_made(r.image) and r.status is Status.NOT_RUN)]
    if any(row.mae is None for row in judged):
        return Status.FAIL, "a row passed without a figure"
    problem = group_problem(members, source, document, witness)
    return (Status.FAIL, problem) if problem else (status, "")


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return statistics.fmean(found) if found else None


def _spread(values: Sequence[float]) -> float | None:
    """The standard deviation over the images (0.0 for one)."""
    return statistics.pstdev(values) if values and all(map(math.isfinite, values)) else None


def count_cases(report: Report) -> dict[str, int]:
    """What a report was measured on, in words and numbers."""
    others = {(row.model, row.image) for row in report.shape_rows}
    made = sum(is_made(image) for _, image in others)
    return {
        "images": len({row.image for row in report.rows}),
        "different images": fewest_different(report),
        "shape cases": len(others) - made,
        "made pictures": made,
    }


def fewest_different(report: Report) -> int:
    """How many different images the network has that has the fewest."""
    files: dict[str, set[str]] = {}
    for row in report.rows:
        if row.mae is not None:
            files.setdefault(row.model, set()).add(row.image_sha256)
    return min(
        (different(about, files.get(name, ())) for name, about in report.models.items()), default=0
    )
