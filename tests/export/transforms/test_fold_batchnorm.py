"""BatchNorms go into convolutions, exactly, where that is the same function, and stay elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from trufor_onnx.errors import ExportError
from trufor_onnx.export.transforms import fold_batchnorm
from trufor_onnx.export.transforms.fold_batchnorm import exact_decimal

Draw = Callable[..., npt.NDArray[np.float32]]
Make = Callable[..., Any]

SIMPLE = """(float[B,3,H,W] x, float[8,3,3,3] w, float[8] g, float[8] b, float[8] m, float[8] v)
=> (float[B,8,H,W] y) {
  c = Conv <pads = [1, 1, 1, 1]> (x, w)
  y = BatchNormalization <epsilon = 0.00001> (c, g, b, m, v)
}"""


def batch_norm(draw: Draw, channels: int, mark: str = "") -> dict[str, npt.NDArray[np.float32]]:
    """Weight, bias, mean and variance, as a trained layer might have them."""
    return {
        f"g{mark}": 1 + draw(channels) / 2,
        f"b{mark}": draw(channels),
        f"m{mark}": draw(channels),
        f"v{mark}": (draw(channels) + np.float32(1.01)) ** 2,
    }


def operators(model: Any) -> list[str]:
    return [node.op_type for node in model.graph]


def array(model: Any, name: str) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = model.graph.initializers[name].const_value.numpy()
    return found


def check_same(model: Any, provenance: Any, in_float64: Any, count: int, **feeds: Any) -> None:
    """The transform folds ``count`` BatchNorms, and the function stays the same."""
    before = in_float64(model, **feeds)
    assert fold_batchnorm.apply(model, provenance) == count
    provenance.require_sound(model, strict=True)
    after = in_float64(model, **feeds)
    for old, new in zip(before, after, strict=True):
        assert old.shape == new.shape
        assert np.abs(old - new).max() <= 2e-7 * np.abs(old).max() + 1e-7


def test_a_convolution_without_bias(make: Make, in_float64: Any, draw: Draw) -> None:
    weights = {"w": draw(8, 3, 3, 3), **batch_norm(draw, 8)}
    model, provenance = make(SIMPLE, weights)
    check_same(model, provenance, in_float64, 1, x=draw(2, 3, 5, 4))
    assert operators(model) == ["Conv"]
    assert model.graph.outputs[0].name == "y"
    assert set(model.graph.initializers) == {"w.folded_weight", "w.folded_bias"}
    assert provenance.origins["w.folded_weight"].transform == "fold_batchnorm"
    assert provenance.origins["w.folded_weight"].sources == ("w", "g", "v")
    assert set(provenance.origins["w.folded_bias"].sources) == {"g", "b", "m", "v"}


def test_rounded_once(make: Make, draw: Draw) -> None:
    """Each number is the float32 nearest to the exact one (long double has 64 bits of it)."""
    weights = {"w": draw(8, 3, 3, 3), **batch_norm(draw, 8)}
    model, provenance = make(SIMPLE, weights)
    fold_batchnorm.apply(model, provenance)
    g, b, m, v, w = (weights[name].astype(np.longdouble) for name in "gbmvw")
    scale = g / np.sqrt(v + np.longdouble("1e-5"))
    for name, exact in (
        ("w.folded_weight", w * scale.reshape(8, 1, 1, 1)),
        ("w.folded_bias", b - m * scale),
    ):
        found = array(model, name)
        assert found.dtype == np.float32
        half = np.spacing(np.abs(found)).astype(np.longdouble) / 2
        # float64 in between: the last bit is decided within 2**-24 of an exact tie.
        assert (np.abs(found.astype(np.longdouble) - exact) <= half * (1 + 1e-6)).all()


def test_the_eps_of_the_network_not_of_its_float32(make: Make, draw: Draw) -> None:
    count = 4096
    text = SIMPLE.replace("[8", f"[{count}").replace(",8,", f",{count},")
    weights = {"w": draw(count, 3, 3, 3), **batch_norm(draw, count)}
    weights["v"] = np.full(count, 1e-9, np.float32)  # eps is all there is
    model, provenance = make(text, weights)
    fold_batchnorm.apply(model, provenance)
    g, v, w = (weights[name].astype(np.float64) for name in "gvw")
    expected = w * (g / np.sqrt(v + 1e-5)).reshape(-1, 1, 1, 1)
    rounded = w * (g / np.sqrt(v + np.float64(np.float32(1e-5)))).reshape(-1, 1, 1, 1)
    assert np.array_equal(array(model, "w.folded_weight"), expected.astype(np.float32))
    assert not np.array_equal(expected.astype(np.float32), rounded.astype(np.float32))


@pytest.mark.parametrize("decimal", [1e-5, 1e-3, 1e-6, 1e-12, 0.001, 0.1, 1.0, 1.1e-5, 0.0])
def test_exact_decimal(decimal: float) -> None:
    assert exact_decimal(float(np.float32(decimal))) == decimal


def test_a_convolution_with_bias_and_groups(make: Make, in_float64: Any, draw: Draw) -> None:
    text = """(float[B,4,H,W] x, float[8,2,3,3] w, float[8] k, float[8] g, float[8] b, float[8] m,
    float[8] v) => (float[B,8,H,W] y) {
      c = Conv <pads = [1, 1, 1, 1], group = 2> (x, w, k)
      y = BatchNormalization <epsilon = 0.001> (c, g, b, m, v)
    }"""
    weights = {"w": draw(8, 2, 3, 3), "k": draw(8), **batch_norm(draw, 8)}
    model, provenance = make(text, weights)
    check_same(model, provenance, in_float64, 1, x=draw(1, 4, 5, 4))
    assert "k" in provenance.origins["w.folded_bias"].sources


SUM = """(float[B,2,H,W] x, float[4,2,1,1] w1, float[4,2,3,3] w2, float[4] k2, float[4] g1,
float[4] b1, float[4] m1, float[4] v1, float[4] g2, float[4] b2, float[4] m2, float[4] v2)
=> (float[B,4,H,W] y) {
  first = Conv (x, w1)
  second = Conv <pads = [1, 1, 1, 1]> (x, w2, k2)
  normed = BatchNormalization <epsilon = 0.00001> (second, g1, b1, m1, v1)
  total = Add (first, normed)
  y = BatchNormalization <epsilon = 0.00001> (total, g2, b2, m2, v2)
}"""


def test_a_sum_of_convolutions_and_two_batchnorms_on_one(
    make: Make, in_float64: Any, draw: Draw
) -> None:
    weights = {"w1": draw(4, 2, 1, 1), "w2": draw(4, 2, 3, 3), "k2": draw(4)}
    weights |= batch_norm(draw, 4, "1") | batch_norm(draw, 4, "2")
    model, provenance = make(SUM, weights)
    check_same(model, provenance, in_float64, 2, x=draw(2, 2, 5, 4))
    assert operators(model) == ["Conv", "Conv", "Add"]
    assert provenance.origins["w1.folded_weight"].sources == ("w1", "g2", "v2")
    assert provenance.origins["w2.folded_weight"].sources == ("w2", "g1", "v1", "g2", "v2")
    # Both BatchNorms are in before the one rounding.
    g1, v1, g2, v2, w2 = (weights[n].astype(np.longdouble) for n in ("g1", "v1", "g2", "v2", "w2"))
    eps = np.longdouble("1e-5")
    exact = w2 * (g1 / np.sqrt(v1 + eps) * (g2 / np.sqrt(v2 + eps))).reshape(4, 1, 1, 1)
    found = array(model, "w2.folded_weight")
    half = np.spacing(np.abs(found)).astype(np.longdouble) / 2
    assert (np.abs(found.astype(np.longdouble) - exact) <= half * (1 + 1e-6)).all()


def test_the_shift_goes_to_one_side_of_a_sum(make: Make, in_float64: Any, draw: Draw) -> None:
    text = """(float[B,2,H,W] x, float[4,2,1,1] w1, float[4,2,1,1] w2, float[4] g, float[4] b,
    float[4] m, float[4] v) => (float[B,4,H,W] y) {
      first = Conv (x, w1)
      second = Conv (x, w2)
      total = Add (first, second)
      y = BatchNormalization <epsilon = 0.00001> (total, g, b, m, v)
    }"""
    weights = {"w1": draw(4, 2, 1, 1), "w2": draw(4, 2, 1, 1), **batch_norm(draw, 4)}
    model, provenance = make(text, weights)
    check_same(model, provenance, in_float64, 1, x=draw(1, 2, 3, 3))
    assert "w1.folded_bias" in model.graph.initializers
    assert "w2.folded_bias" not in model.graph.initializers


def test_convolutions_that_share_a_weight(make: Make, in_float64: Any, draw: Draw) -> None:
    text = """(float[B,2,H,W] x, float[4,2,1,1] w, float[4] g, float[4] b, float[4] m, float[4] v)
    => (float[B,4,H,W] y, float[B,4,H,W] z) {
      first = Conv (x, w)
      half = Mul (x, x)
      second = Conv (half, w)
      y = BatchNormalization <epsilon = 0.00001> (first, g, b, m, v)
      z = BatchNormalization <epsilon = 0.001> (second, g, b, m, v)
    }"""
    model, provenance = make(text, {"w": draw(4, 2, 1, 1), **batch_norm(draw, 4)})
    check_same(model, provenance, in_float64, 2, x=draw(1, 2, 3, 3))
    assert {"w.folded_weight", "w.folded_weight'"} <= set(model.graph.initializers)


STAYS = {
    "the convolution is read elsewhere": """(float[B,2,H,W] x, float[4,2,1,1] w, float[4] g,
    float[4] b, float[4] m, float[4] v) => (float[B,4,H,W] y, float[B,4,H,W] z) {
      c = Conv (x, w)
      y = BatchNormalization (c, g, b, m, v)
      z = Relu (c)
    }""",
    "the convolution is an output": """(float[B,2,H,W] x, float[4,2,1,1] w, float[4] g,
    float[4] b, float[4] m, float[4] v) => (float[B,4,H,W] y, float[B,4,H,W] c) {
      c = Conv (x, w)
      y = BatchNormalization (c, g, b, m, v)
    }""",
    "something is in between": """(float[B,2,H,W] x, float[4,2,1,1] w, float[4] g,
    float[4] b, float[4] m, float[4] v) => (float[B,4,H,W] y) {
      c = Conv (x, w)
      r = Relu (c)
      y = BatchNormalization (r, g, b, m, v)
    }""",
    "the sum is not only of convolutions": """(float[B,2,H,W] x, float[2,2,1,1] w, float[2] g,
    float[2] b, float[2] m, float[2] v) => (float[B,2,H,W] y) {
      c = Conv (x, w)
      s = Add (c, x)
      y = BatchNormalization (s, g, b, m, v)
    }""",
    "the same convolution twice": """(float[B,2,H,W] x, float[4,2,1,1] w, float[4] g,
    float[4] b, float[4] m, float[4] v) => (float[B,4,H,W] y) {
      c = Conv (x, w)
      s = Add (c, c)
      y = BatchNormalization (s, g, b, m, v)
    }""",
    "the input": """(float[B,4,H,W] x, float[1] w, float[4] g,
    float[4] b, float[4] m, float[4] v) => (float[B,4,H,W] y) {
      y = BatchNormalization (x, g, b, m, v)
    }""",
    "a transposed convolution": """(float[B,4,H,W] x, float[4,4,1,1] w, float[4] g,
    float[4] b, float[4] m, float[4] v) => (float[B,4,H,W] y) {
      c = ConvTranspose (x, w)
      y = BatchNormalization (c, g, b, m, v)
    }""",
}


@pytest.mark.parametrize("text", STAYS.values(), ids=STAYS.keys())
def test_what_cannot_be_folded_stays(text: str, make: Make, draw: Draw) -> None:
    channels = 2 if "float[2] g" in text else 4
    shape = {"float[1] w": (1,), "float[4,4,1,1]": (4, 4, 1, 1)}
    found = next((s for mark, s in shape.items() if mark in text), (channels, 2, 1, 1))
    model, provenance = make(text, {"w": draw(*found), **batch_norm(draw, channels)})
    before = operators(model)
    assert fold_batchnorm.apply(model, provenance) == 0
    assert operators(model) == before


def test_a_sum_that_repeats_a_channel_stays(make: Make, draw: Draw) -> None:
    text = """(float[B,2,H,W] x, float[1,2,1,1] w1, float[4,2,1,1] w2, float[4] g, float[4] b,
    float[4] m, float[4] v) => (float[B,4,H,W] y) {
      first = Conv (x, w1)
      second = Conv (x, w2)
      s = Add (first, second)
      y = BatchNormalization (s, g, b, m, v)
    }"""
    model, provenance = make(
        text, {"w1": draw(1, 2, 1, 1), "w2": draw(4, 2, 1, 1), **batch_norm(draw, 4)}
    )
    assert fold_batchnorm.apply(model, provenance) == 0
    assert operators(model).count("BatchNormalization") == 1


def test_weights_of_unknown_origin_stay(make: Make, draw: Draw) -> None:
    model, provenance = make(SIMPLE, {"w": draw(8, 3, 3, 3), **batch_norm(draw, 8)}, known=False)
    assert fold_batchnorm.apply(model, provenance) == 0


def test_weights_that_the_graph_computes_stay(make: Make, draw: Draw) -> None:
    text = SIMPLE.replace("c = Conv", "n = Neg (w)\n  c = Conv").replace("(x, w)\n", "(x, n)\n")
    model, provenance = make(text, {"w": draw(8, 3, 3, 3), **batch_norm(draw, 8)})
    assert fold_batchnorm.apply(model, provenance) == 0


def test_training_mode_stays(make: Make, draw: Draw) -> None:
    text = SIMPLE.replace("y = Batch", "y, m2, v2 = Batch").replace(
        "epsilon = 0.00001", "training_mode = 1"
    )
    model, provenance = make(text, {"w": draw(8, 3, 3, 3), **batch_norm(draw, 8)})
    assert fold_batchnorm.apply(model, provenance) == 0


@pytest.mark.parametrize("variance", [-1.0, -1e-4, 0.0])
def test_a_damaged_variance_is_an_error(variance: float, make: Make, draw: Draw) -> None:
    weights = {"w": draw(8, 3, 3, 3), **batch_norm(draw, 8)}
    weights["v"][3] = variance
    weights["g"][3] = 1e38 if variance == 0.0 else 1.0
    weights["w"][3] = 1e6
    model, provenance = make(SIMPLE, weights)
    with pytest.raises(ExportError, match=r"folding BatchNorm into w gives numbers"):
        fold_batchnorm.apply(model, provenance)
