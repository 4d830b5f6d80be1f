"""Limits as shares of what outputs are like: small ones are no excuse, large ones no fault."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trufor_onnx.parity.results.limits import (
    FINEST,
    is_cleared,
    scale_of,
    scales,
    settle,
    slack,
    verdict_of,
)
from trufor_onnx.parity.results.rows import SOURCE, Row, Status, Values
from trufor_onnx.parity.results.tolerances import Tolerance, tolerance_for
from trufor_onnx.parity.results.witness import KEY

RIGHT, OTHER = 2e-7, 0.5  # error of float32, and of another network, as shares of the spread


def values(size: float = 1.0, middle: float = 0.5, count: int = 1920) -> Values:
    return Values(count, (middle - 0.5) * size, (middle + 0.5) * size, middle * size, 0.25 * size)


def pair(make: Any, size: float, share: float, image: str = "a", **changes: Any) -> list[Row]:
    """PyTorch's row and a candidate's, whose error is a share of outputs of some size."""
    about = {"image": image, "reference": values(size), "found": values(size)}
    own, error = RIGHT * size, share * size
    return [
        make.row(backend=SOURCE, variant="source", mae=own, max_abs=10 * own, **about),
        make.row(**(about | {"mae": error, "max_abs": 10 * error} | changes)),
    ]


def settled(*rows: Row, document: object = None) -> Row:
    given = list(rows)
    settle([given], document)
    return given[-1]


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e4, 1e30])
def test_small_outputs_of_another_network_fail_and_large_right_ones_pass(
    make: Any, size: float
) -> None:
    assert settled(*pair(make, size, RIGHT)).status is Status.PASS
    wrong = settled(*pair(make, size, OTHER))
    assert wrong.status is Status.FAIL
    assert "2 of the outputs' spread" in wrong.reason


def test_a_row_s_own_spread_is_not_asked_a_flat_picture_s_is_none(make: Any) -> None:
    flat = Values(1920, 0.1, 0.1 + 1e-9, 0.1, 1e-10)
    rows = pair(make, 1.0, RIGHT) + pair(make, 1.0, RIGHT, "b", reference=flat)
    rows[2] = replace(rows[2], reference=flat, mae=1e-9, max_abs=1e-9)
    assert settled(*rows).status is Status.PASS


def test_pytorch_s_own_error_allows_so_many_times_it_and_no_more_than_the_spread(make: Any) -> None:
    rows, found = [], None
    for share, status in ((0.002, Status.PASS), (0.2, Status.ERROR)):
        rows = pair(make, 1.0, share)
        rows[0] = replace(rows[0], mae=share, max_abs=10 * share)
        found = settled(*rows)
        assert found.status is status
    assert found is not None
    assert found.reason.startswith("nothing to judge: PyTorch float32 is itself off by 0.2, 0.8 of")
    rows[1] = replace(rows[1], mae=0.7)
    assert settled(*rows).status is Status.FAIL  # more than three times that is no want of a judge


def test_a_made_picture_on_which_float32_says_nothing_is_not_run(make: Any) -> None:
    """timm's levit_128s on the saturated one: PyTorch is off by 0.014 of the spread itself."""
    photograph, made = pair(make, 1.0, RIGHT), pair(make, 1.0, 0.2, "made:saturated")
    made[0] = replace(made[0], mae=0.2, max_abs=2.0)
    row = settled(*photograph, *made)
    assert row.status is Status.NOT_RUN
    assert "amplifies rounding" in row.reason
    assert row.mae is None  # what is not judged has no figures
    made[0] = replace(made[0], mae=RIGHT, max_abs=10 * RIGHT)
    assert settled(*photograph, *made).status is Status.FAIL  # PyTorch is right there, the file not


def test_a_constant_is_named_though_its_error_is_allowed(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = Tolerance(1.0, 1.0, 2.0, 1.1, 1e-8, "a test")
    monkeypatch.setattr("trufor_onnx.parity.results.limits.tolerance_for", lambda *_: loose)
    flat = Values(1920, 0.5, 0.5, 0.5, 0.0)
    found = settled(*pair(make, 1.0, RIGHT, found=flat))
    assert found.status is Status.FAIL
    assert found.reason == "a constant output, 0.5; the network's goes from 0 to 1"
    one = Values(1, 0.5, 0.5, 0.5, 0.0)
    assert settled(*pair(make, 1.0, RIGHT, found=one, reference=one)).status is Status.PASS


def test_in_float16_a_saturated_map_may_be_constant(make: Any) -> None:
    near = Values(1920, 0.9991, 1.0, 0.9995, 1e-4)
    rows = pair(make, 1.0, RIGHT, variant="fp16", model="trufor", reference=near, found=near)
    tolerance = tolerance_for("trufor", "fp16", "map")
    assert tolerance.judges_no_ratio
    assert slack(rows[1], rows[0], tolerance) == tolerance.max_abs
    assert not tolerance_for("trufor", "portable", "map").judges_no_ratio
    assert not tolerance_for("any", "fp16", "any").judges_no_ratio


@pytest.mark.parametrize("count", [1, 1920])
def test_a_network_that_gives_one_value_judges_nothing(make: Any, count: int) -> None:
    same = Values(count, 0.25, 0.25, 0.25, 0.0)
    rows = pair(make, 1.0, 0.0, "a", reference=same, found=same)
    rows += pair(make, 1.0, 0.0, "b", reference=same, found=same)
    rows[0], rows[2] = (replace(row, reference=same, found=same) for row in (rows[0], rows[2]))
    found = settled(*rows)
    assert found.status is Status.ERROR
    assert found.reason == "nothing to judge: the float64 network gives 0.25 on all of 2 cases"


def test_one_number_on_one_picture_is_no_constant(make: Any) -> None:
    one = Values(1, 0.25, 0.25, 0.25, 0.0)
    rows = pair(make, 1.0, 0.0, reference=one, found=one)
    assert settled(replace(rows[0], reference=one), rows[1]).status is Status.PASS


def test_outputs_that_float32_hardly_tells_apart_judge_nothing(make: Any) -> None:
    near = Values(1920, 999.9999, 1000.0001, 1000.0, 1e-4)
    rows = pair(make, 1.0, 1e-5, reference=near, found=near)
    found = settled(replace(rows[0], reference=near, mae=1e-5), rows[1])
    assert found.status is Status.ERROR
    assert "which float32 hardly holds" in found.reason
    assert scale_of([near]).spread < FINEST * 1000 * 2**-23


@pytest.mark.parametrize("gone", ["reference", "found", "mae", "max_abs"])
def test_a_row_without_its_figures_fails(make: Any, gone: str) -> None:
    source, row = pair(make, 1.0, RIGHT)
    scale = scales([source])["net", "map"]
    assert verdict_of(row, source, scale, False)[0] is Status.PASS
    without: Any = {gone: None}
    assert verdict_of(replace(row, **without), source, scale, False)[0] is Status.FAIL
    assert verdict_of(row, None, scale, False)[0] is Status.FAIL
    assert verdict_of(row, source, None, False)[0] is Status.FAIL


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_errors_that_are_not_finite_fail(make: Any, bad: float) -> None:
    assert settled(*pair(make, 1.0, bad)).status is Status.FAIL


@pytest.mark.parametrize("status", [Status.FAIL, Status.ERROR])
def test_nothing_turns_into_a_pass(make: Any, status: Status) -> None:
    rows = pair(make, 1.0, RIGHT, status=status, reason="why")
    assert (settled(*rows).status, settled(*rows).reason) == (status, "why")


def test_one_odd_case_does_not_make_the_limits_of_all() -> None:
    usual = [values() for _ in range(9)]
    assert scale_of([*usual, values(1e9)]).spread == pytest.approx(0.25)
    black = Values(1920, 0.0, 0.0, 0.0, 0.0)
    assert scale_of([black] * 9 + [values()]).spread > 0.0


def document(**changes: Any) -> dict[str, Any]:
    given = {
        "variant": "portable",
        "provider": "cpu",
        "output": "map",
        "cases": "images",
        "image": "a",
        "mae": 1e-4,
        "mae_source": 1e-7,
        "mae_float64": 1e-8,
        "mae_plain": None,
        "size": 0.5,
        "values": 3 * 48 * 40,
    }
    return {KEY: [given | changes]}


@pytest.mark.parametrize(
    ("changes", "cleared"),
    [
        ({}, True),
        ({"mae_float64": 1e-5}, False),
        ({"mae_float64": None}, False),
        ({"mae_float64": None, "mae_plain": 1e-8}, False),
        ({"mae_float64": float("nan")}, False),
        ({"mae_float64": "1e-8"}, False),
        ({"mae_float64": -1.0}, False),
        ({"output": "other"}, False),
        ({"variant": "ort"}, False),
        ({"provider": "cuda"}, False),
    ],
)
def test_only_a_file_that_is_right_in_float64_may_round_more(
    make: Any, changes: dict[str, Any], cleared: bool
) -> None:
    rows = pair(make, 1.0, 1e-4)
    given = document(**changes)
    assert is_cleared(given, rows[1]) is cleared
    assert settled(*rows).status is Status.FAIL
    assert settled(*rows, document=given).status is (Status.PASS if cleared else Status.FAIL)
    assert settled(*pair(make, 1.0, 1e-2), document=given).status is Status.FAIL


def test_an_error_far_over_what_a_witness_explains_is_the_file_s(make: Any) -> None:
    rows, given = pair(make, 1.0, 1e-4), document(mae=1e-6)  # right on small pictures only
    assert not is_cleared(given, rows[1])
    assert settled(*rows, document=given).status is Status.FAIL
    assert is_cleared(document(mae=2.6e-5), rows[1])
    assert is_cleared(document(mae=1.3e-5, values=3 * 48 * 20), rows[1])  # half the pixels
    both = {KEY: document(mae=1.3e-5)[KEY] + document(mae=1.3e-5, values=3 * 48 * 20)[KEY]}
    assert not is_cleared(both, rows[1])  # the larger picture speaks of the size
    for values in (0, -1, None, 1.5):
        assert not is_cleared(document(values=values), rows[1])


def test_a_made_picture_takes_a_witness_of_its_own(make: Any) -> None:
    rows = [*pair(make, 1.0, RIGHT, "made:grey"), *pair(make, 1.0, RIGHT)]
    rows = [*rows[2:], *rows[:2]]
    rows[3] = replace(rows[3], mae=0.1, max_abs=0.9)
    assert settled(*rows).status is Status.FAIL
    assert settled(*rows, document=document()).status is Status.FAIL
    made = {"image": "made:grey", "cases": "made", "mae": 0.1}
    found = settled(*rows, document=document(**made))
    assert found.status is Status.NOT_RUN and "computed in float64" in found.reason
    assert settled(*rows, document=document(**made, mae_float64=0.1)).status is Status.FAIL
    assert not is_cleared(document(**made), rows[1])  # nor does it speak of others


def test_a_made_picture_that_float32_has_no_answer_to_stops_nothing(make: Any) -> None:
    made = [replace(row, mae=0.02, max_abs=0.1) for row in pair(make, 1.0, RIGHT, "made:grey")]
    found = settled(*pair(make, 1.0, RIGHT), *made)
    assert found.status is Status.NOT_RUN and "PyTorch float32 itself is off" in found.reason


def test_a_file_that_is_wrong_on_one_witness_is_not_cleared(make: Any) -> None:
    both = {KEY: document()[KEY] + document(mae_float64=1e-4, cases="shapes")[KEY]}
    assert not is_cleared(both, pair(make, 1.0, 1e-4)[1])
    assert not is_cleared(document(), make.row(model="trufor"))  # limits of its own


OWN = tolerance_for("mit_b2", "portable", "fused_0")


def own(make: Any, times: float, **changes: Any) -> list[Row]:
    """Rows of an entry in the output's own units, with an error of so many times its limit."""
    about = {"image": "shape:280x503", "model": "mit_b2", "output": "fused_0"}
    source, row = (replace(one, **about) for one in pair(make, 1.0, RIGHT))
    error = {"mae": times * OWN.mae, "max_abs": times * OWN.max_abs}
    return [source, replace(row, **(error | changes))]


def own_document(**changes: Any) -> dict[str, Any]:
    given = {"output": "fused_0", "cases": "shapes", "image": "shape:280x503", "size": 2.4}
    return document(**(given | {"mae_source": 1e-6, "mae_float64": 7e-8} | changes))


@pytest.mark.parametrize(
    ("changes", "cleared"),
    [
        ({}, True),
        ({"image": "shape:280x503, its middle"}, True),
        ({"mae_float64": 0.24 * OWN.mae, "mae_source": 5e-6}, True),
        ({"image": "shape:160x96"}, False),  # the rounding of one case says nothing of another's
        ({"mae_float64": None}, False),
        ({"mae_float64": 2e-6, "mae_source": 5e-6}, False),  # as good as PyTorch, and not exact
        ({"mae_float64": 0.26 * OWN.mae, "mae_source": 5e-6}, False),
    ],
)
def test_an_entry_s_row_over_its_limit_is_cleared_by_its_own_case_in_float64(
    make: Any, changes: dict[str, Any], cleared: bool
) -> None:
    rows, given = own(make, 1.1), own_document(**changes)
    assert is_cleared(given, rows[1]) is cleared
    assert settled(*rows).status is Status.FAIL
    assert settled(*rows, document=given).status is (Status.PASS if cleared else Status.FAIL)


def test_a_cleared_row_has_a_limit_still_and_one_elsewhere_than_on_the_cpu_is_none(
    make: Any,
) -> None:
    given = own_document()
    assert settled(*own(make, OWN.cleared * 0.99), document=given).status is Status.PASS
    assert settled(*own(make, OWN.cleared * 1.01), document=given).status is Status.FAIL
    other = {KEY: [{**given[KEY][0], "provider": "cuda"}]}
    assert settled(*own(make, 1.1, provider="cuda"), document=other).status is Status.FAIL
