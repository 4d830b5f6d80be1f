"""What a row's error may be, from figures alone: the run and the gate decide by the same lines.

An entry of ``tolerances.toml`` gives its limits in the output's own units, or as shares of the
spread of the float64 network's outputs over all cases of a run: so a row is decided when all of
them were measured.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.parity.inputs.cases import LEVELS, MADE_PREFIX, is_made
from trufor_onnx.parity.results.comparison import label_problem
from trufor_onnx.parity.results.metrics import LABELS, Errors, flip_problem, measure
from trufor_onnx.parity.results.rows import SOURCE, Row, Status, Values
from trufor_onnx.parity.results.tolerances import Tolerance, tolerance_for
from trufor_onnx.parity.results.witness import EPS, ROUNDINGS, find_witnesses
from trufor_onnx.providers import CPU

# Roundings of the output itself, in units of EPS times its size: of a single value.
WORST_ROUNDINGS = 4.0
# A limit of `row_ratio` times PyTorch's own error never exceeds this share of the spread: where
# float32 is as far off as that, it says nothing of whose outputs these are.
MOST_OF_SPREAD = 0.01
# A witness speaks of a small picture. On another one up to this many times its error is the same
# rounding, and as many times more as that has more pixels: sums over a picture round so
# (InstanceNorm: 11.7 times over 7.8 times the pixels). What larger ones have alone is the file's.
REACH = 4.0
FINEST = 20.0  # roundings that an output's spread must hold for its values to tell networks apart

# On a flat picture the rounding of a mean is divided by the root of the epsilon beside a spread:
# 1e-6 makes it a thousand times larger. A right InstanceNorm file is 50 limits off on grey.
FLAT_ENLARGES = 1000.0

Array = npt.NDArray[Any]
Place = tuple[str, str]
FIGURES = ("mae", "max_abs")


@dataclass(frozen=True)
class Scale:
    """How the float64 network's values of one output differ, over all cases.

    Attributes:
        spread: how far values are from the middle, on the typical case.
        size: their root mean square on the typical case.
        varies: whether any two of them differ by more than float32 can hold.
        cases: how many there were.
    """

    spread: float
    size: float
    varies: bool
    cases: int


def scales(rows: Iterable[Row]) -> dict[Place, Scale]:
    """The scale of each model's outputs, from the rows of PyTorch float32."""
    found: dict[Place, dict[str, Values]] = {}
    for row in rows:
        made = is_made(row.image)  # what a flat picture gives says nothing of how outputs vary
        if row.backend == SOURCE and row.reference is not None and not made:
            found.setdefault((row.model, row.output), {})[row.image] = row.reference
    return {place: scale_of(list(values.values())) for place, values in found.items()}


def scale_of(values: Sequence[Values]) -> Scale:
    """The scale of one output.

    The median over the cases, which one odd case does not move; of outputs that are equal on most
    cases the pooled standard deviation.

    Args:
        values: what they are like, a case each; at least one.
    """
    middle = statistics.median(one.mean for one in values)
    away = [math.hypot(one.std, one.mean - middle) for one in values]
    size = statistics.median(math.hypot(one.std, one.mean) for one in values)
    pooled = math.sqrt(statistics.fmean(one * one for one in away))
    low, high = min(one.low for one in values), max(one.high for one in values)
    varies = high - low > ROUNDINGS * EPS * max(abs(low), abs(high))
    return Scale(statistics.median(away) or pooled, size, varies, len(values))


def settle(parts: Sequence[list[Row]], document: object = None) -> None:
    """Give rows the verdict that their figures have among all the others, in place.

    A pass may turn into a failure, or into "nothing to judge"; nothing turns into a pass.

    Args:
        parts: rows of all cases of a model: of images, and of shapes.
        document: the model's part of the report, which may hold witnesses.
    """
    known = scales(row for rows in parts for row in rows)
    for rows in parts:
        source = by_place(rows)
        for index, row in enumerate(rows):
            if row.backend != SOURCE and row.status is Status.PASS and row.mae is not None:
                of_source = source.get((row.model, row.image, row.output))
                scale = known.get((row.model, row.output))
                status, reason = verdict_of(row, of_source, scale, is_cleared(document, row))
                rows[index] = replace(row, status=status, reason=reason)
                if status is Status.NOT_RUN:  # what is not judged has no figures
                    rows[index] = _unmeasured(rows[index])


def _unmeasured(row: Row) -> Row:
    return replace(
        row,
        mae=None,
        max_abs=None,
        p99_abs=None,
        rel_l2=None,
        mae_torch32=None,
        accuracy_ratio=None,
        outcome={},
    )


def is_cleared(document: object, row: Row) -> bool:
    """Whether the row's error is rounding: its file was found to be right in float64.

    By an entry in the output's own units on this very case, or on the middle of it. Else a made
    picture takes a witness of its own, and elsewhere the error may be `REACH` times as large as
    the one that a witness explains, or more on a larger picture.
    """
    tolerance = tolerance_for(row.model, row.variant, row.output)
    found = find_witnesses(document, row.variant, row.provider, row.output)
    computed = [one for one in found if one.mae_float64 is not None]
    if not computed or row.mae is None or not all(one.clears(tolerance) for one in computed):
        return False
    if not tolerance.relative:
        return any(one.speaks_of(row.image) for one in computed)
    if is_made(row.image):
        return any(one.image == row.image for one in computed)
    elsewhere = [one for one in computed if not is_made(one.image)]
    if not elsewhere:
        return False
    nearest = max(elsewhere, key=lambda one: one.values)
    more = max(1.0, math.prod(row.shape[1:]) / nearest.values)
    explained = max(nearest.mae * more, *(one.mae for one in elsewhere))
    return row.mae <= REACH * explained


def verdict_of(
    row: Row, source: Row | None, scale: Scale | None, cleared: bool
) -> tuple[Status, str]:
    """How a row that could be measured ends, from its figures.

    Args:
        row: a candidate's.
        source: PyTorch float32's on the same case.
        scale: of the output, over all cases; None where it is not known.
        cleared: what `is_cleared` says.

    Returns:
        The status, and why it is no pass.
    """
    if source is None:
        return Status.FAIL, "PyTorch float32 was not measured on it"
    tolerance = tolerance_for(row.model, row.variant, row.output)
    for name in FIGURES:
        if getattr(row, name) is None or getattr(source, name) is None:
            return Status.FAIL, f"it passed without a {name}"
    if LABELS in row.outcome:
        assert row.mae is not None and source.mae is not None
        problem = label_problem(row.mae, source.mae, tolerance)
        return (Status.FAIL, problem) if problem else (Status.PASS, "")
    if scale is None or row.reference is None or row.found is None:
        return Status.FAIL, "it passed without its values"
    status, reason = _values_verdict(row, source, scale, tolerance)
    if status is not Status.PASS:
        return status, reason
    times = tolerance.cleared if cleared and row.provider == CPU else 1.0
    allowed = row_limits(row, source, scale, tolerance, times)
    for name, limit in allowed.items():
        value = getattr(row, name)
        if not value <= limit:
            why = _undefined(row, source, scale, tolerance, cleared) if is_made(row.image) else ""
            if why:
                return Status.NOT_RUN, why
            return Status.FAIL, over_limit(name, value, limit, scale, tolerance)
    status, reason = _too_coarse(row, source, scale, tolerance)
    if status is not Status.PASS:
        why = _undefined(row, source, scale, tolerance, cleared) if is_made(row.image) else ""
        return (Status.NOT_RUN, why) if why else (status, reason)
    flip = flip_problem(row.outcome, tolerance.max_abs)
    return (Status.FAIL, flip) if flip else (Status.PASS, "")


def row_limits(
    row: Row, source: Row, scale: Scale, tolerance: Tolerance, times: float
) -> dict[str, float]:
    """``max(limit, row_ratio * PyTorch's own error)``, for ``mae`` and ``max_abs``.

    Limits count so many ``times``. Where they are shares of the spread, roundings of the output
    itself are allowed beside them.
    """
    of_source = {name: tolerance.row_ratio * getattr(source, name) for name in FIGURES}
    if not tolerance.relative:
        return {name: max(getattr(tolerance, name) * times, of_source[name]) for name in FIGURES}
    assert row.reference is not None  # `verdict_of` asked for it
    values = row.reference
    rounding = {
        "mae": ROUNDINGS * EPS * math.hypot(values.mean, values.std),
        "max_abs": WORST_ROUNDINGS * EPS * max(abs(values.low), abs(values.high)),
    }
    return {
        name: max(getattr(tolerance, name) * times * scale.spread, of_source[name], rounding[name])
        for name in FIGURES
    }


def undefined(
    kind: str, candidate: Array, reference: Array, source: Array, tolerance: Tolerance
) -> str:
    """Why a distance on a made picture says nothing of the candidate, or "".

    A right file is not to fail where the network itself has no answer: PyTorch gives NaN, or its
    float32 is further from float64 than any file may be, or rounding is all that differs. A
    candidate whose values alone are not finite is wrong in any case, and so is a distance that no
    rounding makes.

    Args:
        kind: the made picture's.
        candidate: what the backend gave.
        reference: what the float64 network gave.
        source: what PyTorch float32 gave.
        tolerance: what is allowed.
    """
    if candidate.shape != reference.shape or candidate.dtype != source.dtype:
        return ""
    for precision, given in (("float64", reference), ("float32", source)):
        if not np.isfinite(given).all():
            return f"PyTorch {precision} itself gives NaN or infinite values on a picture like this"
    if candidate.size == 0 or not np.isfinite(candidate).all() or tolerance.relative:
        return ""  # limits that are shares of other cases' spread: `verdict_of` decides
    # Limits of float16 are wide already: a thousand of them would be any output at all.
    flat = kind in LEVELS and not tolerance.judges_no_ratio
    return _rounding_there(
        measure(candidate, reference), measure(source, reference), limits_of(tolerance), flat=flat
    )


def _undefined(row: Row, source: Row, scale: Scale, tolerance: Tolerance, cleared: bool) -> str:
    """As `undefined`, where limits are shares of what other pictures give."""
    if not tolerance.relative:
        return ""  # decided when it was measured
    if cleared:
        return (
            f"off by {row.max_abs:.3g}, and right where the same file is computed in float64: "
            "ONNX Runtime's kernels round on a picture like this"
        )
    flat = row.image.removeprefix(MADE_PREFIX) in LEVELS
    return _rounding_there(row, source, limits_of(tolerance, scale.spread), flat=flat)


def _rounding_there(
    errors: Row | Errors, of_source: Row | Errors, limits: Mapping[str, float], *, flat: bool
) -> str:
    """Whether PyTorch is itself over the limits on a made picture, or rounding is all there is."""
    if any(getattr(of_source, name) > limit for name, limit in limits.items()):
        return (
            f"PyTorch float32 itself is off by {of_source.max_abs:.3g} on a picture like this: "
            "the network amplifies rounding there"
        )
    if flat and all(getattr(errors, n) <= FLAT_ENLARGES * limit for n, limit in limits.items()):
        return (
            f"off by {errors.max_abs:.3g}, which the rounding of a mean can be on a flat picture; "
            "finite, as the network is"
        )
    return ""


def limits_of(tolerance: Tolerance, unit: float = 1.0) -> dict[str, float]:
    """``mae`` and ``max_abs`` of an entry, in a unit such as the spread that they are shares of."""
    return {name: getattr(tolerance, name) * unit for name in FIGURES}


def over_limit(name: str, value: float, limit: float, scale: Scale, tolerance: Tolerance) -> str:
    """The sentence of an error that is too large."""
    spread = ""
    if tolerance.relative and scale.spread:
        spread = f", {value / scale.spread:.2g} of the outputs' spread of {scale.spread:.3g}"
    return f"{name} {value:.3g} is over {limit:.3g}{spread} ({tolerance.reason})"


def slack(row: Row, source: Row, tolerance: Tolerance) -> float:
    """What two values of an output may differ by for rounding alone.

    Where the entry judges no ratio (float16), float32's own error says nothing, and its limit does.
    """
    assert row.reference is not None and source.max_abs is not None
    if tolerance.judges_no_ratio:
        return tolerance.max_abs
    largest = max(abs(row.reference.low), abs(row.reference.high))
    return WORST_ROUNDINGS * max(source.max_abs, EPS * largest)


def _values_verdict(
    row: Row, source: Row, scale: Scale, tolerance: Tolerance
) -> tuple[Status, str]:
    """A reference that says nothing, and a constant where it does not give one."""
    assert row.reference is not None and row.found is not None
    if not scale.varies and (scale.cases > 1 or row.reference.count > 1):
        always = f"{row.reference.mean:.6g} on all of {scale.cases} cases"
        return Status.ERROR, f"nothing to judge: the float64 network gives {always}"
    given, found = row.reference, row.found
    if found.low == found.high and given.high - given.low > slack(row, source, tolerance):
        ends = f"{given.low:.6g} to {given.high:.6g}"
        return Status.FAIL, f"a constant output, {found.low:.6g}; the network's goes from {ends}"
    return Status.PASS, ""


def _too_coarse(row: Row, source: Row, scale: Scale, tolerance: Tolerance) -> tuple[Status, str]:
    """Whether the row is within its limits only because float32 tells nothing apart there."""
    if not tolerance.relative or not scale.spread:
        return Status.PASS, ""
    assert row.mae is not None and source.mae is not None
    if FINEST * EPS * scale.size > scale.spread:
        outputs = f"outputs of {scale.size:.3g} differ by {scale.spread:.3g}"
        return Status.ERROR, f"nothing to judge: {outputs}, which float32 hardly holds"
    if not row.mae <= max(MOST_OF_SPREAD, tolerance.mae) * scale.spread:
        off = f"{source.mae:.3g}, {source.mae / scale.spread:.2g} of the outputs' spread"
        # Of a made picture that is no fault of the data set: there is no answer to it.
        status = Status.NOT_RUN if is_made(row.image) else Status.ERROR
        return status, f"nothing to judge: PyTorch float32 is itself off by {off}"
    return Status.PASS, ""


def by_place(rows: Iterable[Row]) -> Mapping[tuple[str, str, str], Row]:
    """PyTorch float32's rows by model, image and output."""
    return {(row.model, row.image, row.output): row for row in rows if row.backend == SOURCE}
