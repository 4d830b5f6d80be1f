"""Flat and saturated pictures are always run; where the network has no answer none is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from trufor_onnx.parity.inputs.cases import Case
from trufor_onnx.parity.inputs.made import KINDS, Made
from trufor_onnx.parity.results.limits import undefined
from trufor_onnx.parity.results.rows import SOURCE, Status
from trufor_onnx.parity.results.summary import summarise
from trufor_onnx.parity.results.tolerances import Tolerance

LIMIT = Tolerance(
    mae=1e-5, max_abs=1e-4, row_ratio=3.0, accuracy_ratio=1.5, noise_floor=1e-6, reason="a test"
)
ONE = np.full((1, 1, 4, 4), 0.5, dtype=np.float32)
TRUTH = ONE.astype(np.float64)


def nan(array: np.ndarray) -> np.ndarray:
    found = array.copy()
    found[0, 0, 1, 1] = np.nan
    return found


@pytest.mark.parametrize(
    ("candidate", "reference", "source", "said"),
    [
        (ONE + 1, TRUTH, ONE, ""),  # wrong
        (ONE + np.float32(5e-4), TRUTH, ONE, "off by 0.0005"),  # an enlarged rounding
        (ONE + np.float32(2e-2), TRUTH, ONE, ""),  # more than that
        (nan(ONE), TRUTH, ONE, ""),  # wrong: the network has an answer
        (ONE, nan(TRUTH), nan(ONE), "float64 itself gives NaN"),
        (nan(ONE), nan(TRUTH), nan(ONE), "float64 itself gives NaN"),
        (nan(ONE), TRUTH, nan(ONE), "float32 itself gives NaN"),
        (ONE + 1, TRUTH, ONE + np.float32(0.3), "off by 0.3"),
        (nan(ONE), TRUTH, ONE + np.float32(0.3), ""),  # wrong in any case
        (ONE[..., :2], nan(TRUTH), nan(ONE), ""),  # another shape is wrong in any case
        (ONE.astype(np.float64), nan(TRUTH), nan(ONE), ""),  # another type too
    ],
)
def test_where_the_network_has_no_answer(
    candidate: np.ndarray, reference: np.ndarray, source: np.ndarray, said: str
) -> None:
    found = undefined("grey", candidate, reference, source, LIMIT)
    assert (said in found) if said else found == ""


def test_no_rounding_is_enlarged_on_a_saturated_picture() -> None:
    assert undefined("saturated", ONE + np.float32(5e-4), TRUTH, ONE, LIMIT) == ""


def test_wide_limits_are_not_enlarged() -> None:
    half = replace(LIMIT, mae=5e-3, max_abs=5e-2, noise_floor=5e-3)  # float16: no ratio is judged
    assert undefined("grey", ONE + np.float32(0.4), TRUTH, ONE, half) == ""


def test_made_pictures_are_run_without_being_asked_for(
    parity: Any, exported: Any, make_images: Any
) -> None:
    exported("tiny_np")
    make_images(1)
    ran = parity(shapes=False)
    assert ran.code == 0
    assert {row["image"] for row in ran.report["shape_rows"]} == {f"made:{kind}" for kind in KINDS}
    assert {row["image"] for row in ran.report["rows"]} == {"image_0000.png"}
    cases = [group["cases"] for group in ran.report["summary"]["groups"]]
    assert cases == ["images", "images", "made", "made"]


def test_a_file_that_gives_nan_on_a_flat_picture_fails(
    parity: Any, edited: Callable[..., Path], make_images: Any
) -> None:
    """``y * spread / spread``: nothing where pixels differ, 0/0 where they do not."""

    def divide(proto: onnx.ModelProto) -> None:
        output, image = proto.graph.output[0].name, proto.graph.input[0].name
        proto.graph.node[-1].output[0] = "before"
        proto.graph.node.extend(
            [
                onnx.helper.make_node("ReduceMax", [image], ["high"], axes=[1, 2, 3]),
                onnx.helper.make_node("ReduceMin", [image], ["low"], axes=[1, 2, 3]),
                onnx.helper.make_node("Sub", ["high", "low"], ["spread"]),
                onnx.helper.make_node("Div", ["spread", "spread"], ["one"]),
                onnx.helper.make_node("Mul", ["before", "one"], [output]),
            ]
        )

    make_images(2)
    ran = parity("--candidate", f"tiny_np={edited('tiny_np', divide)}")
    assert ran.code == 1
    failed = {row["image"] for row in [*ran.rows, *ran.made_rows] if row["status"] == "fail"}
    assert failed == {"made:black", "made:grey", "made:white"}


def test_made_pictures_are_no_part_of_the_accuracy_ratio(make: Any) -> None:
    def rows(image: str, mae: float) -> list[Any]:
        source = make.row(image=image, backend=SOURCE, variant="source", mae=1e-6)
        return [source, make.row(image=image, mae=mae)]

    made = [row for kind in KINDS for row in rows(f"made:{kind}", 9e-6)]
    shapes = [row for size in range(6) for row in rows(f"shape:{size}x9", 1e-6)]
    groups = [g for g in summarise([*shapes, *made], "shapes") if g.backend != SOURCE]
    assert [(g.cases, g.rows, g.status) for g in groups] == [
        ("shapes", 6, Status.PASS),
        ("made", 4, Status.PASS),
    ]
    assert groups[0].accuracy_ratio == 1.0


def test_a_made_picture_without_an_answer_is_said_and_not_failed(make: Any) -> None:
    rows = [make.row(image=f"made:{kind}") for kind in KINDS]
    no_answer = dict.fromkeys(("mae", "max_abs", "mae_torch32", "accuracy_ratio"))
    rows[0] = replace(rows[0], status=Status.NOT_RUN, reason="NaN there", **no_answer)
    (group,) = summarise(rows, "shapes")
    assert (group.status, group.rows) == (Status.PASS, 3)
    shape = replace(rows[0], image="shape:9x9")
    (group,) = summarise([replace(rows[1], image="shape:8x8"), shape], "shapes")
    assert group.status is Status.FAIL  # no other case may be without one


def test_a_case_of_a_made_picture() -> None:
    made = Made("grey", (5, 7))
    loaded = Case(made.name, (made,), made.size).load()
    pixels = loaded.pixels
    assert pixels.shape == (1, 5, 7, 3) and set(np.unique(pixels)) == {128}
    assert len(loaded.sha256) == 64
