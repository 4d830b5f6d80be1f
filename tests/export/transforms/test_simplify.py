"""The simplifier folds shape arithmetic and never sees a weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxsim
import pytest

from trufor_onnx.errors import ExportError
from trufor_onnx.export.transforms import simplify

Make = Callable[..., Any]

SHAPES = """(float[B,6] x, float[6] w) => (float[B,2,3] y) {
  two = Constant <value = int64[1] {2}> ()
  three = Constant <value = int64[1] {3}> ()
  minus = Constant <value = int64[1] {-1}> ()
  shape = Concat <axis = 0> (minus, two, three)
  twice = Add (w, w)
  scaled = Mul (x, twice)
  y = Reshape (scaled, shape)
}"""


def test_shape_arithmetic_goes_and_weight_arithmetic_stays(
    make: Make, in_float64: Any, draw: Any
) -> None:
    weights, x = {"w": draw(6)}, draw(4, 6)
    model, provenance = make(SHAPES, weights)
    before = in_float64(model, x=x)
    assert simplify.apply(model, provenance) > 0
    provenance.require_sound(model, strict=True)
    assert [node.op_type for node in model.graph if node.op_type != "Constant"] == [
        "Add",  # of the weight with itself: a folded one would be a new, unproven tensor
        "Mul",
        "Reshape",
    ]
    assert np.array_equal(in_float64(model, x=x)[0], before[0])
    found = model.graph.initializers["w"].const_value.numpy()
    assert found.tobytes() == weights["w"].tobytes()
    assert [value.name for value in model.graph.inputs] == ["x"]


def test_sums_row_by_row_stay_two_sums(make: Make) -> None:
    """One long float32 sum loses digits: docs/decisions/sums-by-rows.md."""
    model, provenance = make(
        """(float[B,C,H,W] x) => (float[B,C,1,1] y) {
          rows = ReduceMean <axes = [3], keepdims = 1> (x)
          y = ReduceMean <axes = [2], keepdims = 1> (rows)
        }""",
        {},
    )
    simplify.apply(model, provenance)
    assert [node.op_type for node in model.graph] == ["ReduceMean", "ReduceMean"]


def test_the_simplifier_is_given_no_weight(
    make: Make, draw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[onnx.ModelProto] = []
    original = onnxsim.simplify

    def spy(proto: onnx.ModelProto, **options: Any) -> Any:
        seen.append(proto)
        return original(proto, **options)

    monkeypatch.setattr(onnxsim, "simplify", spy)
    model, provenance = make(SHAPES, {"w": draw(6)})
    simplify.apply(model, provenance)
    (proto,) = seen
    assert not proto.graph.initializer
    assert model.graph.initializers["w"].const_value.numpy().tobytes() not in (
        proto.SerializeToString()
    )


def test_an_input_that_the_simplifier_drops_is_an_error(
    make: Make, draw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dropping(proto: onnx.ModelProto, **_: Any) -> Any:
        kept = [value for value in proto.graph.input if value.name != "w"]
        del proto.graph.input[:]
        proto.graph.input.extend(kept)
        return proto, True

    monkeypatch.setattr(onnxsim, "simplify", dropping)
    model, provenance = make(SHAPES, {"w": draw(6)})
    with pytest.raises(ExportError, match="onnxsim dropped 1 inputs: w"):
        simplify.apply(model, provenance)
