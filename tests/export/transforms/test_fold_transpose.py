"""A transposed weight is stored as it is used: the same numbers, in another order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trufor_onnx.export.transforms import fold_transpose

Make = Callable[..., Any]

LINEAR = """(float[B,N,4] x, float[6,4] w) => (float[B,N,6] y) {
  t = Transpose <perm = [1, 0]> (w)
  y = MatMul (x, t)
}"""


def array(model: Any, name: str) -> Any:
    return model.graph.initializers[name].const_value.numpy()


def test_a_linear_layer(make: Make, in_float64: Any, draw: Any) -> None:
    weights, x = {"w": draw(6, 4)}, draw(2, 3, 4)
    model, provenance = make(LINEAR, weights)
    before = in_float64(model, x=x)
    assert fold_transpose.apply(model, provenance) == 1
    provenance.require_sound(model, strict=True)
    assert [node.op_type for node in model.graph] == ["MatMul"]
    assert list(model.graph.initializers) == ["w.T"]
    assert np.array_equal(array(model, "w.T"), weights["w"].T)
    assert array(model, "w.T").flags.c_contiguous
    assert np.array_equal(in_float64(model, x=x)[0], before[0])
    assert provenance.origins["w.T"].transform == "transpose"
    assert provenance.origins["w.T"].sources == ("w",)


def test_without_a_permutation_all_axes_turn(make: Make, draw: Any) -> None:
    weights = {"w": draw(2, 3, 4)}
    model, provenance = make(
        "(float[2,3,4] x, float[2,3,4] w) => (float[4,3,2] y) {\n t = Transpose (w)\n"
        " y = Identity (t)\n}",
        weights,
    )
    assert fold_transpose.apply(model, provenance) == 1
    assert np.array_equal(array(model, "w.T"), weights["w"].transpose(2, 1, 0))


def test_one_weight_turned_in_two_ways(make: Make, draw: Any) -> None:
    text = """(float[2,3,4] x, float[2,3,4] w) => (float[A,B,C] y, float[D,E,F] z, float[2,3,4] s) {
      t = Transpose <perm = [0, 2, 1]> (w)
      u = Transpose <perm = [1, 0, 2]> (w)
      y = Neg (t)
      z = Neg (u)
      s = Add (x, w)
    }"""
    weights = {"w": draw(2, 3, 4)}
    model, provenance = make(text, weights)
    assert fold_transpose.apply(model, provenance) == 2
    assert np.array_equal(array(model, "w.T"), weights["w"].transpose(0, 2, 1))
    assert np.array_equal(array(model, "w.T'"), weights["w"].transpose(1, 0, 2))
    assert "w" in model.graph.initializers  # still read as it is


def test_what_is_no_known_weight_stays(make: Make, draw: Any) -> None:
    text = """(float[3,4] x, float[6,4] w) => (float[4,3] y) {
      y = Transpose <perm = [1, 0]> (x)
    }"""
    model, provenance = make(text, {"w": draw(6, 4)})
    assert fold_transpose.apply(model, provenance) == 0
    model, provenance = make(LINEAR, {"w": draw(6, 4)}, known=False)
    assert fold_transpose.apply(model, provenance) == 0


def test_a_folded_weight_keeps_both_steps_in_its_origin(make: Make, draw: Any) -> None:
    model, provenance = make(LINEAR, {"w": draw(6, 4)})
    provenance.derive("w", "earlier", "w")
    fold_transpose.apply(model, provenance)
    assert provenance.origins["w.T"].transform == "earlier+transpose"
