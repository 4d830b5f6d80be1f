"""The order of the checks, and everything that must not pass."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.results.comparison import compare_names, judge
from trufor_onnx.parity.results.rows import Status
from trufor_onnx.parity.results.tolerances import Tolerance

SHAPE = (1, 3, 4)
LIMITS = Tolerance(
    mae=1e-5, max_abs=1e-4, row_ratio=2.0, accuracy_ratio=1.1, noise_floor=0.0, reason="a test"
)
NEVER = Tolerance(math.nan, math.nan, math.nan, math.nan, math.nan, "not a number")


def reference() -> np.ndarray:
    return np.linspace(0.0, 1.0, 12).reshape(SHAPE)


def source() -> np.ndarray:
    return reference().astype(np.float32)


def test_a_rounded_copy_passes_and_has_all_figures() -> None:
    verdict = judge(source(), reference(), source(), LIMITS)
    assert (verdict.status, verdict.reason) == (Status.PASS, "")
    assert verdict.errors is not None and 0.0 < verdict.errors.mae < 1e-7
    assert (verdict.mae_torch32, verdict.ratio) == (0.0, 1.0)


@pytest.mark.parametrize(
    "shape", [(3, 4), (1, 4, 3), (3, 4, 1), (1, 3, 1), (1, 1, 1), (2, 3, 4), ()]
)
def test_another_shape_fails_also_where_it_could_be_broadcast(shape: tuple[int, ...]) -> None:
    verdict = judge(np.zeros(shape, np.float32), reference() * 0, source() * 0, LIMITS)
    assert verdict.status is Status.FAIL
    assert verdict.reason == f"shape {shape} instead of (1, 3, 4)"
    assert verdict.errors is None


def test_a_transposed_square_map_fails_by_its_values() -> None:
    square = np.arange(16, dtype=np.float64).reshape(1, 4, 4) / 16
    as_source = square.astype(np.float32)
    verdict = judge(as_source.transpose(0, 2, 1), square, as_source, LIMITS)
    assert verdict.status is Status.FAIL
    assert verdict.reason.startswith("mae ")


@pytest.mark.parametrize(
    "dtype", [np.float64, np.float16, np.int32, np.bool_, np.complex64, object]
)
def test_another_dtype_fails(dtype: type) -> None:
    verdict = judge(source().astype(dtype), reference(), source(), LIMITS)
    assert verdict.status is Status.FAIL
    assert verdict.reason.startswith("dtype ")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("how_many", [1, 12])
def test_values_that_are_not_finite_fail(bad: float, how_many: int) -> None:
    candidate = source()
    candidate.flat[:how_many] = bad
    verdict = judge(candidate, reference(), source(), LIMITS)
    assert verdict.status is Status.FAIL
    assert verdict.reason == f"{how_many} of 12 values are NaN or infinite"


def test_nan_where_the_reference_has_nan_is_no_agreement() -> None:
    bad = np.full(SHAPE, math.nan)
    verdict = judge(bad.astype(np.float32), bad, bad.astype(np.float32), LIMITS)
    assert verdict.status is Status.FAIL


@pytest.mark.parametrize("which", ["reference", "source"])
def test_without_a_finite_reference_nothing_can_be_compared(which: str) -> None:
    arrays = {"reference": reference(), "source": source()}
    arrays[which].flat[0] = math.inf
    verdict = judge(np.zeros(SHAPE, np.float32), **arrays, tolerance=LIMITS)
    assert verdict.status is Status.ERROR
    assert "no reference" in verdict.reason


def test_nothing_is_no_pass() -> None:
    empty = np.zeros((1, 0, 4))
    verdict = judge(empty.astype(np.float32), empty, empty.astype(np.float32), LIMITS)
    assert (verdict.status, verdict.reason) == (Status.FAIL, "an empty array")


def test_a_tolerance_that_is_nan_fails() -> None:
    assert judge(source(), reference(), source(), NEVER).status is Status.FAIL


def test_the_first_difference_wins() -> None:
    """Shape before dtype before finite values before distance."""
    everything = np.full((3, 4), math.nan, np.float64)
    assert judge(everything, reference(), source(), LIMITS).reason.startswith("shape")
    right_shape = np.full(SHAPE, math.nan, np.float64)
    assert judge(right_shape, reference(), source(), LIMITS).reason.startswith("dtype")
    right_dtype = np.full(SHAPE, math.nan, np.float32)
    assert "NaN" in judge(right_dtype, reference(), source(), LIMITS).reason
    finite = np.full(SHAPE, 9.0, np.float32)
    verdict = judge(finite, reference(), source(), LIMITS)
    assert verdict.reason.startswith("mae 8.5 is over 1e-05")
    assert LIMITS.reason in verdict.reason


def test_a_single_far_value_fails_by_the_maximum() -> None:
    big = np.zeros((1, 1000))
    candidate = big.astype(np.float32)
    candidate[0, 7] = 2e-4
    verdict = judge(candidate, big, big.astype(np.float32), LIMITS)
    assert verdict.reason.startswith("max_abs 0.0002 is over 0.0001")


def test_the_source_s_own_error_is_allowed_times_the_ratio() -> None:
    exact = np.zeros(SHAPE)
    rough = np.full(SHAPE, 0.5, np.float32)
    assert judge(rough * 2, exact, rough, LIMITS).status is Status.PASS
    assert judge(rough * np.float32(2.001), exact, rough, LIMITS).status is Status.FAIL
    assert judge(rough * 2, exact, rough, LIMITS).ratio == 2.0


@given(st.floats(0, 3, width=32), st.floats(0, 3, width=32), st.floats(0, 3), st.floats(0, 3))
def test_the_rule_is_the_one_that_is_written_down(
    candidate: float, torch32: float, mae: float, row_ratio: float
) -> None:
    limits = Tolerance(mae, math.inf, row_ratio, 1.0, 0.0, "a test")
    arrays = np.full(SHAPE, candidate, np.float32), np.full(SHAPE, torch32, np.float32)
    verdict = judge(arrays[0], np.zeros(SHAPE), arrays[1], limits)
    assert (verdict.status is Status.PASS) == (candidate <= max(mae, row_ratio * torch32))


def test_names_that_are_absent_or_new() -> None:
    found = {"map": np.zeros(1), "confidence": np.zeros(1)}
    assert compare_names(["map", "conf"], found, "net") == {
        "conf": "the output is missing",
        "confidence": "an output that the network does not have",
    }
    assert compare_names(["map"], {"map": np.zeros(1)}, "net") == {}


def test_names_are_compared_exactly() -> None:
    assert set(compare_names(["map"], {"Map": np.zeros(1)}, "net")) == {"map", "Map"}


def test_a_network_without_outputs_cannot_be_compared() -> None:
    with pytest.raises(ParityError, match="no outputs"):
        compare_names([], {}, "net")


LABELS = np.arange(200_000, dtype=np.int64).reshape(1, 400, 500) % 7


def with_others(count: int) -> np.ndarray:
    changed = LABELS.copy()
    changed.reshape(-1)[:count] += 1
    return changed


@pytest.mark.parametrize(
    ("candidate", "source", "status"),
    [
        (0, 0, Status.PASS),
        (2, 0, Status.PASS),  # near ties: one in 100,000
        (3, 0, Status.FAIL),
        (20, 10, Status.PASS),  # within twice float32's own share
        (21, 10, Status.FAIL),
        (200_000, 0, Status.FAIL),
    ],
)
def test_labels_are_judged_by_the_share_that_differs(
    candidate: int, source: int, status: Status
) -> None:
    verdict = judge(with_others(candidate), LABELS, with_others(source), LIMITS)
    assert verdict.status is status
    assert verdict.errors is not None
    assert verdict.errors.mae == candidate / LABELS.size
    assert ("of the labels are others" in verdict.reason) == (status is Status.FAIL)


def test_a_single_label_that_is_another_fails() -> None:
    right, wrong = np.array([3]), np.array([4])
    assert judge(wrong, right, right, LIMITS).status is Status.FAIL
    assert judge(~np.ones(4, bool), np.ones(4, bool), np.ones(4, bool), LIMITS).reason
    narrow = judge(right.astype(np.int32), right, right, LIMITS)
    assert narrow.reason == "dtype int32 instead of int64"


def test_what_a_witness_may_clear_is_left_to_be_settled() -> None:
    exact = np.zeros(SHAPE)
    rough = np.full(SHAPE, 1e-7, np.float32)
    over = np.full(SHAPE, 1.5 * max(LIMITS.mae, LIMITS.row_ratio * 1e-7), np.float32)
    assert judge(over, exact, rough, LIMITS).status is Status.FAIL
    assert judge(over, exact, rough, replace(LIMITS, cleared=2.0)).status is Status.PASS
    assert judge(2 * over, exact, rough, replace(LIMITS, cleared=2.0)).status is Status.FAIL
