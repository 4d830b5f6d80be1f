"""Decide: does a candidate's output pass? Checks in a fixed order, the first difference wins.

The order: names, shape, dtype, finite values, distance. NaN ends on the failing side everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.results.metrics import (
    LABELS_FLOOR,
    Errors,
    accuracy_ratio,
    are_labels,
    mean_absolute_error,
    measure,
)
from trufor_onnx.parity.results.rows import Status
from trufor_onnx.parity.results.tolerances import Tolerance

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Verdict:
    """One output's comparison.

    Attributes:
        status: pass, fail, or error where there is nothing to compare with.
        reason: the first check that failed, in words.
        errors: against float64, where the arrays could be compared value by value.
        mae_torch32: against PyTorch float32.
        ratio: the accuracy ratio.
    """

    status: Status
    reason: str = ""
    errors: Errors | None = None
    mae_torch32: float | None = None
    ratio: float | None = None


def compare_names(
    expected: Iterable[str], found: Mapping[str, Array], where: str
) -> dict[str, str]:
    """Why an output fails by its name alone: absent, or not asked for. Empty where all is right.

    Raises:
        ParityError: the network has no outputs; comparing nothing is no comparison.
    """
    wanted = list(expected)
    if not wanted:
        raise ParityError(f"{where}: no outputs to compare", hint="the network's spec names none")
    problems = {name: "the output is missing" for name in wanted if name not in found}
    problems |= {
        name: "an output that the network does not have" for name in found if name not in wanted
    }
    return problems


def judge(candidate: Array, reference: Array, source: Array, tolerance: Tolerance) -> Verdict:
    """Compare one output with the float64 network and with PyTorch float32.

    ``mae <= max(tolerance.mae, tolerance.row_ratio * mae(source))`` and the same for ``max_abs``.
    Labels: see `label_problem`. Limits that are shares of the outputs' spread over all cases are
    for `results.limits.settle`, which also decides anew what passes here: so do limits that a
    file which is right in float64 may exceed (`Tolerance.cleared`).

    Args:
        candidate: what the backend gave.
        reference: what the float64 network gave.
        source: what PyTorch float32 gave; its dtype is the one that the output must have.
        tolerance: what is allowed, with its reason.
    """
    if candidate.shape != reference.shape:
        return _failed(f"shape {candidate.shape} instead of {reference.shape}")
    if candidate.dtype != source.dtype:
        return _failed(f"dtype {candidate.dtype} instead of {source.dtype}")
    if candidate.size == 0:
        return _failed("an empty array")
    bad = int(candidate.size - np.isfinite(candidate).sum())
    if bad:
        return _failed(f"{bad} of {candidate.size} values are NaN or infinite")
    if not np.isfinite(reference).all() or not np.isfinite(source).all():
        return Verdict(Status.ERROR, "PyTorch itself gives NaN or infinite values: no reference")
    errors = measure(candidate, reference)
    of_source = measure(source, reference)
    ratio = accuracy_ratio(errors.mae, of_source.mae)
    if are_labels(reference):
        reason = label_problem(errors.mae, of_source.mae, tolerance)
        status = Status.FAIL if reason else Status.PASS
        return Verdict(status, reason, errors, mean_absolute_error(candidate, source), ratio)
    limits = {
        "mae": max(tolerance.cleared * tolerance.mae, tolerance.row_ratio * of_source.mae),
        "max_abs": max(
            tolerance.cleared * tolerance.max_abs, tolerance.row_ratio * of_source.max_abs
        ),
    }
    if tolerance.relative:
        limits = {}  # one case does not say what they are shares of
    reason = ""
    for name, limit in limits.items():
        value = getattr(errors, name)
        if not value <= limit:
            reason = f"{name} {value:.3g} is over {limit:.3g} ({tolerance.reason})"
            break
    status = Status.FAIL if reason else Status.PASS
    return Verdict(status, reason, errors, mean_absolute_error(candidate, source), ratio)


def label_problem(differ: float, of_source: float, tolerance: Tolerance) -> str:
    """Why labels fail: ``share <= max(LABELS_FLOOR, row_ratio * PyTorch float32's own share)``.

    The limits in an output's units say nothing of labels. Where classes nearly tie, float32 itself
    gives another label than float64 does: that is what a file is held to.
    """
    if differ <= max(LABELS_FLOOR, tolerance.row_ratio * of_source):
        return ""
    return (
        f"{differ:.3g} of the labels are others than in float64, of PyTorch float32's own "
        f"{of_source:.3g} ({tolerance.reason})"
    )


def _failed(reason: str) -> Verdict:
    return Verdict(Status.FAIL, reason)
