"""What depends on weights only is computed once, in float64, and its origin is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trufor_onnx.errors import ExportError
from trufor_onnx.export.transforms import fold_weights

Make = Callable[..., Any]

PRODUCT = """(float[B,3] x, float[4,6] a, float[6,3] b, float[4] s) => (float[B,4] y) {
  axes = Constant <value = int64[1] {1}> ()
  column = Unsqueeze (s, axes)
  product = MatMul (a, b)
  scaled = Mul (product, column)
  turned = Transpose <perm = [1, 0]> (scaled)
  y = MatMul (x, turned)
}"""


def test_a_product_of_two_layers(make: Make, draw: Any) -> None:
    weights, x = {"a": draw(4, 6), "b": draw(6, 3), "s": draw(4)}, draw(5, 3)
    model, provenance = make(PRODUCT, weights)
    assert fold_weights.apply(model, provenance) == 4
    provenance.require_sound(model, strict=True)
    assert [n.op_type for n in model.graph if n.op_type != "Constant"] == ["MatMul"]
    (name,) = [n for n in model.graph.initializers if n in provenance.origins]
    assert provenance.origins[name].transform == "fold_weights"
    assert set(provenance.origins[name].sources) == {"a", "b", "s"}
    a, b, s = (weights[key].astype(np.float64) for key in "abs")
    exact = ((a @ b) * s[:, None]).T.astype(np.float32)
    found = model.graph.initializers[name].const_value.numpy()
    assert found.shape == (3, 4)
    assert np.abs(found - exact).max() <= np.spacing(np.abs(exact).max())  # rounded once
    assert x.shape[1] == found.shape[0]


def test_slices_and_joins_move_bits_only(make: Make, draw: Any) -> None:
    text = """(float[B,4] x, float[4,6] w, float[2] v) => (float[B,8] y) {
      sizes = Constant <value = int64[2] {2, 4}> ()
      left, right = Split <axis = 1> (w, sizes)
      index = Constant <value = int64 {1}> ()
      row = Gather <axis = 0> (w, index)
      joined = Concat <axis = 0> (row, v)
      first = MatMul (x, left)
      second = MatMul (x, right)
      both = Concat <axis = 1> (first, second, first)
      y = Add (both, joined)
    }"""
    weights = {"w": draw(4, 6), "v": draw(2)}
    model, provenance = make(text, weights)
    assert fold_weights.apply(model, provenance) == 3
    contents = {n: v.const_value.numpy() for n, v in model.graph.initializers.items()}
    expected = [
        weights["w"][:, :2],
        weights["w"][:, 2:],
        np.concatenate([weights["w"][1], weights["v"]]),
    ]
    assert len(contents) == len(expected)
    for array in expected:
        assert any(np.array_equal(array, found) for found in contents.values())
    provenance.require_sound(model, strict=True)


def test_the_order_of_a_sum_is_fixed() -> None:
    """The same as a plain loop, so no library's order of sums is in the file."""
    generator = np.random.default_rng(3)
    left, right = generator.random((3, 50)), generator.random((50, 2))
    (found,) = fold_weights._matmul(None, left, right)  # type: ignore[arg-type]  # no node needed
    expected = np.zeros((3, 2))
    for row in range(3):
        for column in range(2):
            for k in range(50):
                expected[row, column] += left[row, k] * right[k, column]
    assert found.tobytes() == expected.tobytes()


def test_inputs_and_other_domains_are_left(make: Make, draw: Any) -> None:
    text = "(float[2,3] x, float[2,3] w) => (float[2,3] y) { e = Erf (w)\n y = Add (x, e) }"
    model, provenance = make(text, {"w": draw(2, 3)})
    assert fold_weights.apply(model, provenance) == 0
    assert [node.op_type for node in model.graph] == ["Erf", "Add"]


def test_a_weight_that_is_no_number_is_refused(make: Make) -> None:
    text = (
        "(float[2] x, float[2] a, float[2] b) => (float[2] y) { d = Div (a, b)\n y = Add (x, d) }"
    )
    zero, one = np.zeros(2, np.float32), np.ones(2, np.float32)
    model, provenance = make(text, {"a": one, "b": zero})
    with (
        np.errstate(divide="ignore"),
        pytest.raises(ExportError, match="made of a, b is no finite float32"),
    ):
        fold_weights.apply(model, provenance)
