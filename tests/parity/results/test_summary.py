"""Mean over mean, failing rows first, rounding left out."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import pytest

from trufor_onnx.parity.inputs.cases import Case
from trufor_onnx.parity.results.rows import SOURCE, Group, Status, Values
from trufor_onnx.parity.results.summary import MOST_CHANCES, over_their_ratio, summarise, witnesses
from trufor_onnx.parity.results.tolerances import Tolerance
from trufor_onnx.parity.results.witness import KEY, Witness


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Tolerance(1.0, 1.0, 2.0, accuracy_ratio=1.1, noise_floor=1e-8, reason="a test")
    monkeypatch.setattr("trufor_onnx.parity.results.summary.tolerance_for", lambda *_: given)


def rows(make: Any, *pairs: tuple[float, float], **changes: Any) -> list[Any]:
    """For each image PyTorch's and the candidate's error."""
    found = []
    for number, (source, candidate) in enumerate(pairs):
        image = f"{number}.png"
        found.append(make.row(image=image, backend=SOURCE, variant="source", mae=source))
        found.append(make.row(image=image, mae=candidate, **changes))
    return found


def candidate(groups: list[Group]) -> Group:
    (found,) = [group for group in groups if group.backend != SOURCE]
    return found


def test_the_ratio_is_of_means_not_a_mean_of_ratios(make: Any) -> None:
    pairs = [(1e-9, 1e-6), (1e-4, 1e-4), (3e-4, 2e-4)]
    found = candidate(summarise(rows(make, *pairs), "images"))
    expected = sum(c for _, c in pairs) / sum(s for s, _ in pairs)
    assert found.accuracy_ratio == pytest.approx(expected, rel=1e-12)
    assert found.status is Status.PASS
    assert statistics.fmean(c / s for s, c in pairs) > 300  # the mean of ratios would fail


def test_a_group_fails_by_its_ratio_where_every_row_passed(make: Any) -> None:
    found = candidate(summarise(rows(make, (1e-4, 1.2e-4), (1e-4, 1.1e-4)), "images"))
    assert found.status is Status.FAIL
    assert found.reason.startswith("accuracy ratio 1.150 is over 1.1")


def test_a_ratio_that_is_noise_is_no_failure(make: Any) -> None:
    """Errors of one rounding each: 0.5 to 3 of PyTorch's, 1.3 on average."""
    pairs = [(1e-4, 1e-4 * share) for share in (0.5, 0.6, 0.8, 0.9, 1.0, 1.1, 1.5, 3.0, 2.3)]
    found = candidate(summarise(rows(make, *pairs), "images"))
    assert found.accuracy_ratio == pytest.approx(1.3)
    assert (found.status, found.reason) == (Status.PASS, "")


@pytest.mark.parametrize("count", [5, 24])
def test_a_small_excess_on_every_image_is_no_noise(make: Any, count: int) -> None:
    pairs = [(1e-4, (1.15 + 0.01 * (n % 3)) * 1e-4) for n in range(count)]
    found = candidate(summarise(rows(make, *pairs), "images"))
    assert found.status is Status.FAIL
    assert "with noise at least 1.1" in found.reason


def test_few_images_forgive_nothing(make: Any) -> None:
    pairs = [(1e-4, 1e-4 * share) for share in (0.5, 0.9, 1.0, 3.0)]
    found = candidate(summarise(rows(make, *pairs), "images"))
    assert found.status is Status.FAIL
    assert "take more than 4 cases" in found.reason


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_errors_that_are_not_finite_are_no_noise(make: Any, bad: float) -> None:
    pairs = [(1e-4, 1e-4)] * 8 + [(1e-4, bad)]
    assert candidate(summarise(rows(make, *pairs), "images")).status is Status.FAIL


def test_where_pytorch_is_exact_any_error_is_too_much(make: Any) -> None:
    found = candidate(summarise(rows(make, *[(0.0, 1e-4)] * 9), "images"))
    assert found.status is Status.FAIL


def test_below_the_noise_floor_the_ratio_is_not_judged(make: Any) -> None:
    assert candidate(summarise(rows(make, (1e-10, 1e-8)), "images")).status is Status.PASS
    assert candidate(summarise(rows(make, (1e-10, 1.1e-8)), "images")).status is Status.FAIL


@pytest.mark.parametrize("status", [Status.FAIL, Status.ERROR])
def test_one_bad_row_wins_over_many_good_ones(make: Any, status: Status) -> None:
    given = rows(make, *[(1e-4, 1e-4)] * 9)
    given += [make.row(image="bad.png", status=status, reason="why", mae=None, mae_torch32=None)]
    found = candidate(summarise(given, "images"))
    assert found.status is status
    assert found.reason == "1 of 10: bad.png: why"
    assert found.rows == 9
    assert found.counts == {"pass": 9, "fail": 0, "error": 0, "not run": 0} | {status.value: 1}


def test_rows_that_were_not_run_are_no_pass(make: Any) -> None:
    given = [make.row(image=f"{n}", status=Status.NOT_RUN, mae=None, reason="no") for n in "ab"]
    (found,) = summarise(given, "images")
    assert found.status is Status.NOT_RUN
    assert (found.rows, found.mean, found.accuracy_ratio) == (0, None, None)


def test_without_pytorch_s_error_the_ratio_is_unknown_and_fails(make: Any) -> None:
    (found,) = summarise([make.row(mae=1e-4)], "images")
    assert found.status is Status.FAIL
    assert "accuracy ratio unknown" in found.reason


def test_a_row_that_passed_without_a_figure_fails(make: Any) -> None:
    (found,) = summarise([make.row(mae=None)], "images")
    assert (found.status, found.reason) == (Status.FAIL, "a row passed without a figure")


def test_figures(make: Any) -> None:
    given = rows(make, (1e-4, 1e-4), (2e-4, 2e-4), (3e-4, 3e-4), max_abs=0.25, mae_torch32=5e-5)
    found = candidate(summarise(given, "shapes"))
    assert found.cases == "shapes"
    assert found.mean == pytest.approx(2e-4)
    assert found.std == pytest.approx(statistics.pstdev([1e-4, 2e-4, 3e-4]))
    assert (found.worst, found.max_abs, found.rows) == (3e-4, 0.25, 3)
    assert (found.mean_torch32, found.worst_torch32) == (pytest.approx(5e-5), 5e-5)
    assert found.std_torch32 == pytest.approx(0.0)


def test_groups_are_apart_by_all_that_names_a_backend(make: Any) -> None:
    given = [
        make.row(**{key: value})
        for key in ("model", "variant", "backend", "provider", "output")
        for value in ("one", "two")
    ]
    groups = summarise(given, "images")
    assert len(groups) == 10
    assert all(group.rows == 1 for group in groups)


def test_an_image_that_could_not_be_read_belongs_to_no_group(make: Any) -> None:
    assert summarise([make.row(output="", status=Status.ERROR)], "images") == []


def test_nothing_gives_no_groups() -> None:
    assert summarise([], "images") == []


def test_decisions_are_summed_up(make: Any) -> None:
    flips = [{"flipped": flip, "difference": 0.1 + flip} for flip in (True, False, True)]
    given = [make.row(image=f"{n}", outcome=flip) for n, flip in enumerate(flips)]
    (found,) = summarise(given, "images")
    assert found.outcome == {"flipped": 2, "difference": 1.1}


def test_labels_at_near_ties_are_no_ratio(make: Any) -> None:
    """PyTorch float32 changed none, the candidate one in a million; one in ten thousand fails."""
    few = rows(make, (0.0, 2e-6), (0.0, 0.0), outcome={"labels_differ": 1e-6})
    many = rows(make, (0.0, 2e-4), (0.0, 0.0), outcome={"labels_differ": 1e-4})
    plain = rows(make, (0.0, 2e-6), (0.0, 0.0))
    found = [candidate(summarise(given, "images")).status for given in (few, many, plain)]
    assert found == [Status.PASS, Status.FAIL, Status.FAIL]


def outputs(size: float, middle: float = 0.5) -> Values:
    return Values(1920, (middle - 0.5) * size, (middle + 0.5) * size, middle * size, 0.25 * size)


def test_a_floor_hides_no_ratio_of_outputs_that_are_as_small(make: Any) -> None:
    """All zeros for outputs of 2e-9: within any floor, and four million times PyTorch's error."""
    reason = ""
    for size, status in ((1.0, Status.PASS), (2e-9, Status.FAIL)):
        given = rows(make, *[(1e-16, 1e-9)] * 6, reference=outputs(size), bias=0.0)
        found = candidate(summarise(given, "images"))
        assert found.status is status
        reason = found.reason
    assert reason.startswith("accuracy ratio")


def test_one_number_an_image_keeps_its_floor(make: Any) -> None:
    one = Values(1, 1e-9, 1e-9, 1e-9, 0.0)
    given = rows(make, *[(1e-10, 9e-9)] * 6, reference=one, bias=0.0)
    assert candidate(summarise(given, "images")).status is Status.PASS


@pytest.mark.parametrize(
    ("biases", "status"),
    [
        ([9e-9, 8.9e-9, 9.1e-9, 9e-9, 9e-9, 9e-9], Status.FAIL),
        ([-9e-9, -8.9e-9, -9.1e-9, -9e-9, -9e-9, -9e-9], Status.FAIL),
        ([9e-9, 9e-9, 9e-9, 9e-9, 9e-9, -9e-9], Status.PASS),  # of both sides
        ([9e-9] * 4, Status.PASS),  # too few to tell
        ([2e-9] * 6, Status.PASS),  # rounding with a sign, small beside it
    ],
)
def test_a_bias_under_the_floor_is_named(make: Any, biases: list[float], status: Status) -> None:
    given = rows(make, *[(1e-9, 9e-9)] * len(biases))
    given[1::2] = [replace(row, bias=bias) for row, bias in zip(given[1::2], biases, strict=True)]
    found = candidate(summarise(given, "images"))
    assert found.status is status
    assert ("biased: every case is off to the same side" in found.reason) is (status is Status.FAIL)


def test_an_error_of_a_few_roundings_is_no_bias(make: Any) -> None:
    given = rows(make, *[(4e-9, 9e-9)] * 6, bias=9e-9)
    assert candidate(summarise(given, "images")).status is Status.PASS


@pytest.mark.parametrize(("apart", "status"), [(0.2, Status.FAIL), (1e-6, Status.PASS)])
def test_one_answer_to_two_inputs_is_named(make: Any, apart: float, status: Status) -> None:
    given = rows(make, (1e-4, 1e-4), (1e-4, 1e-4), max_abs=1e-4)
    given[1::2] = [replace(row, found_sha256="same") for row in given[1::2]]
    given[3] = replace(given[3], reference=outputs(1.0, 0.5 + apart))
    found = candidate(summarise(given, "images"))
    assert found.status is status
    if status is Status.FAIL:
        assert found.reason.startswith("the file ignores its input: 0.png and 1.png give the same")
        assert next(over_their_ratio(given, "images"))[1] == found.reason


def test_a_ratio_is_rounding_only_where_the_file_is_right_in_float64(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {"variant": "portable", "provider": "cpu", "output": "map", "cases": "images"}
    reason = ""
    seen = place | {"image": "0.png", "mae": 1e-5, "mae_source": 1e-6, "size": 0.5, "values": 5760}
    for exact, relative, status in (
        (1e-7, True, Status.PASS),
        (1e-5, True, Status.FAIL),
        (1e-7, False, Status.FAIL),  # limits of its own are not lifted
    ):
        own = Tolerance(1.0, 1.0, 2.0, 1.1, 1e-8, "a test", relative=relative)
        for module in ("summary", "limits"):
            monkeypatch.setattr(
                f"trufor_onnx.parity.results.{module}.tolerance_for", lambda *_, own=own: own
            )
        document = {"net": {KEY: [seen | {"mae_float64": exact, "mae_plain": None}]}}
        given = rows(make, *[(1e-6, 1e-5)] * 6)
        found = candidate(summarise(given, "images", document))
        assert found.status is status
        assert bool(list(over_their_ratio(given, "images", document))) is (status is Status.FAIL)
        reason = found.reason
    assert "the same file computed in float64 is within limits" in reason


class Asked:
    """Notes on what a witness is asked for."""

    def __init__(self) -> None:
        self.cases: list[str] = []

    def witness(self, group: Group, case: Case | None) -> Witness | None:  # noqa: ARG002
        self.cases.append(case.name if case else "trial")
        return None


@pytest.mark.parametrize("failed", [1, 2, 3])
def test_each_row_that_a_rounding_may_decide_is_asked_for_and_many_are_no_chance(
    make: Any, monkeypatch: pytest.MonkeyPatch, failed: int
) -> None:
    given = Tolerance(1e-5, 1.0, 2.0, 1.1, 1e-8, "a test", cleared=4.0)
    monkeypatch.setattr("trufor_onnx.parity.results.summary.tolerance_for", lambda *_: given)
    found = rows(make, *[(1e-6, 1.2e-5)] * failed, *[(1e-6, 1e-6)] * 7)
    for index in range(1, 2 * failed, 2):
        found[index] = replace(found[index], status=Status.FAIL, accuracy_ratio=12.0)
    cases = [Case(f"{number}.png", ()) for number in range(failed + 7)]
    bench = Asked()
    witnesses(bench, (found, []), cases, [])
    expected = ["0.png"], ["0.png", "1.png"]
    assert bench.cases == expected[failed - 1] if failed <= MOST_CHANCES else len(bench.cases) == 1
