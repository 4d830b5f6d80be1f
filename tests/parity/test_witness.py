"""The file in float64: right where only kernels round, wrong where the file is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from export.in_float64 import MOST_VALUES, in_float64
from parity.tolerances import Tolerance
from parity.witness import (
    KEY,
    Witness,
    find_witnesses,
    mean_error,
    without_optimisation,
)

GIVEN = Tolerance(1e-5, 1e-4, 3.0, 1.5, 0.0, "a test", relative=True)
RIGHT = Witness("a.png", 1e-5, 1e-7, 1e-8, 1e-5, 0.5, 3)
TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[N] x) => (float[N] y)
<float[1] third = {{0.333333343}}> {{
  half = Constant<value_float = 0.1>()
  a = Mul(x, third)
  b = Add(a, half)
  {more}
}}
"""


def written(folder: Path, more: str = "c = Cast<to = 1>(b) y = Identity(c)") -> Path:
    path = folder / "file.onnx"
    onnx.save(onnx.parser.parse_model(TEXT.format(more=more)), path)
    return path


def feeds(count: int = 5) -> dict[str, Any]:
    return {"x": np.linspace(0.0, 1.0, count, dtype=np.float32)}


def test_weights_and_constants_are_those_of_the_file_and_nothing_is_rounded(tmp_path: Path) -> None:
    given = feeds()
    found = in_float64(written(tmp_path), given)
    assert found is not None and found["y"].dtype == np.float64
    exact = given["x"].astype(np.float64) * np.float64(np.float32(1 / 3)) + np.float64(
        np.float32(0.1)
    )
    assert np.abs(found["y"] - exact).max() < 1e-16
    single = without_optimisation(written(tmp_path), given, threads=1)
    assert single is not None
    assert 1e-10 < np.abs(single["y"] - exact).max() < 1e-7


def test_a_cast_to_half_is_the_file_s_own_rounding(tmp_path: Path) -> None:
    path = written(tmp_path, "c = Cast<to = 10>(b) y = Cast<to = 1>(c)")
    found = in_float64(path, feeds())
    plain = in_float64(written(tmp_path), feeds())
    assert found is not None and plain is not None
    assert np.abs(found["y"] - plain["y"]).max() > 1e-6


@pytest.mark.parametrize("why", ["operator", "large"])
def test_what_cannot_be_computed_is_no_witness(tmp_path: Path, why: str) -> None:
    path = written(tmp_path)
    if why == "operator":
        model = onnx.load(path)
        model.graph.node[-1].domain = "com.nobody"
        onnx.save(model, path)
    assert in_float64(path, feeds(5 if why == "operator" else MOST_VALUES + 1)) is None
    if why == "operator":
        assert without_optimisation(path, feeds(), threads=1) is None


def test_it_says_that_the_file_is_right_only_where_it_is() -> None:
    assert RIGHT.clears(GIVEN)
    assert "ONNX Runtime's kernels round, the file is right" in RIGHT.sentence(GIVEN)
    for wrong in (1e-5, float("nan")):
        other = Witness("a.png", 1e-5, 1e-7, wrong, 1e-5, 0.5, 3)
        assert (other.clears(GIVEN), other.sentence(GIVEN)) == (False, "")
    optimiser = Witness("a.png", 1e-5, 1e-7, None, 1e-8, 0.5, 3)
    assert not optimiser.clears(GIVEN)
    assert "ONNX Runtime's optimiser, not the file" in optimiser.sentence(GIVEN)


def test_no_output_or_another_shape_has_no_error() -> None:
    reference = {"y": np.zeros(3)}
    assert mean_error({"y": np.ones(3)}, reference, "y") == 1.0
    for found in (None, {}, {"y": np.ones(4)}, {"y": np.full(3, np.nan)}):
        assert mean_error(found, reference, "y") is None


@pytest.mark.parametrize(
    "document", [None, {}, {KEY: {}}, {KEY: [None]}, {KEY: [{"variant": "v"}]}, {KEY: "x"}]
)
def test_a_report_may_hold_anything_there(document: Any) -> None:
    assert find_witnesses(document, "v", "cpu", "y") == []
