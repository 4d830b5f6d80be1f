"""Half the bytes: products in float16, sums and norms in float32, inputs and outputs as before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from trufor_onnx.errors import ExportError
from trufor_onnx.export.transforms import float16

Make = Callable[..., Any]

LAYERS = """(float[B,4] x, float[4,4] w, float[4] b, float[4] g) => (float[B,4] y, float[B,1] m) {
  product = MatMul (x, w)
  summed = Add (product, b)
  normed = LayerNormalization <axis = -1> (summed, g, b)
  y = Add (normed, summed)
  m = ReduceMean <axes = [1]> (summed)
}"""


def in_a_layer(make: Make, text: str, weights: dict[str, Any]) -> tuple[ir.Model, Any]:
    """A graph whose nodes are called like those of a network's layer."""
    model, provenance = make(text, weights)
    for number, node in enumerate(model.graph):
        node.name = f"/layer/{node.op_type}_{number}"
    return model, provenance


def converted(make: Make, text: str, weights: dict[str, Any]) -> tuple[ir.Model, Any, int]:
    model, provenance = in_a_layer(make, text, weights)
    count = float16.apply(model, provenance)
    provenance.require_sound(model, strict=True)
    return model, provenance, count


def test_what_is_half_and_what_is_not(make: Make, draw: Any) -> None:
    weights = {"w": draw(4, 4), "b": draw(4), "g": draw(4)}
    model, provenance, count = converted(make, LAYERS, weights)
    assert count == 3  # the product and both sums
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    kinds = {t.name: t.data_type for t in proto.graph.initializer}
    assert kinds == {
        "w.float16": onnx.TensorProto.FLOAT16,
        "b.float16": onnx.TensorProto.FLOAT16,
        "b": onnx.TensorProto.FLOAT,  # the norm's
        "g": onnx.TensorProto.FLOAT,
    }
    assert provenance.origins["w.float16"].transform == "float16"
    assert provenance.origins["w.float16"].sources == ("w",)
    for value in (*proto.graph.input, *proto.graph.output):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert [value.name for value in proto.graph.output] == ["y", "m"]


def test_what_is_in_no_layer_stays_in_float32(make: Make, draw: Any) -> None:
    """The network's own statements: quotients of sums over all pixels leave float16."""
    weights = {"w": draw(4, 4), "b": draw(4), "g": draw(4)}
    model, provenance = make(LAYERS, weights)
    for node in model.graph:
        node.name = f"/{node.op_type}_1"
    assert float16.apply(model, provenance) == 0
    assert set(model.graph.initializers) == {"w", "b", "g"}


def test_the_numbers(make: Make, draw: Any) -> None:
    weights = {"w": draw(4, 4), "b": draw(4), "g": draw(4)}
    x = draw(5, 4)
    before, _ = make(LAYERS, weights)
    after, _, _ = converted(make, LAYERS, weights)
    outputs = [
        onnxruntime.InferenceSession(
            ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"]
        ).run(None, {"x": x})
        for model in (before, after)
    ]
    for one, other in zip(*outputs, strict=True):
        assert other.dtype == np.float32
        assert 0 < np.abs(one - other).max() < 1e-2


def test_shapes_and_integers_are_left(make: Make, draw: Any) -> None:
    text = """(float[B,2,3] x, float[3,3] w) => (float[B,6] y) {
      shape = Shape (x)
      zero = Constant <value = int64 {0}> ()
      batch = Gather (shape, zero)
      axes = Constant <value = int64[1] {0}> ()
      first = Unsqueeze (batch, axes)
      rest = Constant <value = int64[1] {-1}> ()
      target = Concat <axis = 0> (first, rest)
      product = MatMul (x, w)
      y = Reshape (product, target)
    }"""
    model, _, count = converted(make, text, {"w": draw(3, 3)})
    assert count == 2
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_numbers_beyond_the_range_are_refused(make: Make) -> None:
    huge = np.full((4, 4), 7e4, np.float32)
    weights = {"w": huge, "b": np.ones(4, np.float32), "g": np.ones(4, np.float32)}
    model, provenance = in_a_layer(make, LAYERS, weights)
    with pytest.raises(ExportError, match=r"w holds 7e\+04, beyond float16's largest"):
        float16.apply(model, provenance)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ExportError, match="beyond float16"):
        float16.rounded(np.array([1, bad], np.float32), "w")
