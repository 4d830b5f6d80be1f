"""The file in float64: right where only kernels round, wrong where the file is."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from trufor_onnx.export.graph.in_float64 import MOST_VALUES, in_float64
from trufor_onnx.parity.inputs.cases import Case, ImageFile
from trufor_onnx.parity.results.tolerances import Tolerance
from trufor_onnx.parity.results.witness import KEY, MOST_OF_CASE, Witness, find_witnesses, middle_of
from trufor_onnx.parity.running.steadiness import mean_error, without_optimisation

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


OWN = Tolerance(5e-6, 5e-5, 2.0, 1.1, 1e-7, "a test", cleared=4.0)


def test_by_a_limit_in_units_a_file_that_is_right_is_exact() -> None:
    own = Witness("a.png", 6e-6, 2e-6, 7e-8, 5e-6, 2.4, 1920)
    assert own.clears(OWN)
    assert not replace(own, mae_float64=2e-6).clears(OWN)
    assert replace(own, mae_float64=2e-6).clears(GIVEN)  # as near as PyTorch float32


def test_a_case_that_is_too_large_is_computed_on_its_middle() -> None:
    case = Case("a.png", (ImageFile(Path("a.png"), "a.png"),))
    assert middle_of(case, (1, 3, 640, 640)) is case
    middle = middle_of(case, (1, 3, 1280, 960))
    assert middle.name == "a.png, its middle"
    assert middle.size is not None and 0.99 < 3 * math.prod(middle.size) / MOST_OF_CASE <= 1.0
    assert middle.size[0] / middle.size[1] == pytest.approx(4 / 3, rel=0.01)
    witness = Witness(middle.name, 1e-5, 1e-7, 1e-8, 1e-5, 0.5, 1920)
    assert witness.speaks_of("a.png")
    assert not witness.speaks_of("b.png") and not RIGHT.speaks_of("b.png")


ATTENTION = """
<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
g (float[B, N, C] q, float[B, M, C] k, float[B, M, C] v) => (float[B, N, C] y)
{{
  a = com.microsoft.MultiHeadAttention<num_heads = {heads}{more}>(q, k, v{inputs})
  y = com.microsoft.Gelu(a)
}}
"""


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("more", ["", ", scale = 0.3"])
def test_onnx_runtime_s_own_operators_are_computed_in_float64(
    tmp_path: Path, heads: int, more: str
) -> None:
    path = tmp_path / "file.onnx"
    onnx.save(onnx.parser.parse_model(ATTENTION.format(heads=heads, more=more, inputs="")), path)
    draw = np.random.default_rng(0)
    given = {
        name: draw.normal(size=(2, count, 12)).astype(np.float32)
        for name, count in (("q", 5), ("k", 7), ("v", 7))
    }
    exact, single = in_float64(path, given), without_optimisation(path, given, threads=1)
    assert exact is not None and single is not None
    assert exact["y"].dtype == np.float64
    assert 1e-10 < np.abs(single["y"] - exact["y"]).max() < 1e-6


@pytest.mark.parametrize(
    ("more", "inputs"), [(", unidirectional = 1", ""), ("", ", q")], ids=["causal", "bias"]
)
def test_another_form_of_such_an_operator_is_no_witness(
    tmp_path: Path, more: str, inputs: str
) -> None:
    path = tmp_path / "file.onnx"
    text = ATTENTION.format(heads=1, more=more, inputs=inputs)
    onnx.save(onnx.parser.parse_model(text), path)
    assert in_float64(path, dict.fromkeys("qkv", np.ones((1, 4, 4), np.float32))) is None


BRANCH = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[N] x) => (float[N] y, float[N] x2)
{{
  far = Mul(x, x)
  x2 = Identity(x)
  {steps}
  yes = Constant<value_int = 1>()
  on = Cast<to = 9>(yes)
  y = If(on) <
    then_branch = t () => (float[N] a) {{ a = Add(far, s19) }},
    else_branch = e () => (float[N] b) {{ b = Identity(x) }}
  >
}}
"""


def test_what_a_later_part_or_a_branch_reads_is_kept(tmp_path: Path) -> None:
    """The graph is computed a few nodes at a time."""
    steps = "s0 = Add(x, x)\n" + "\n".join(f"s{n} = Add(s{n - 1}, x)" for n in range(1, 20))
    path = tmp_path / "file.onnx"
    onnx.save(onnx.parser.parse_model(BRANCH.format(steps=steps)), path)
    given = feeds()
    found = in_float64(path, given)
    assert found is not None
    wide = given["x"].astype(np.float64)
    assert np.abs(found["y"] - (wide * wide + 21 * wide)).max() < 1e-14
    assert np.array_equal(found["x2"], wide)
