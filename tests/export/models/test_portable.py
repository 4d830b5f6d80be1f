"""Sums in two parts: exact where float32 sums are not, and the same network."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import onnxsim
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.export.models.fusion import CrossAttention
from trufor_onnx.export.models.rewriting import (
    REWRITTEN,
    STEP,
    PortableCrossAttention,
    concerns,
    rewrite,
    split,
)
from trufor_onnx.export.transforms import simplify

FLOATS = st.floats(-(2.0**120), 2.0**120, width=32)  # eight times a number must be one


@given(number=st.floats(-1e6, 1e6, width=32))
def test_the_coarse_part_is_a_multiple_of_the_step(number: float) -> None:
    coarse, rest = split(torch.tensor(number, dtype=torch.float32))
    assert float(coarse) % STEP == 0.0
    assert abs(float(rest)) <= STEP / 2


@given(number=FLOATS)
def test_nothing_is_lost_at_any_size(number: float) -> None:
    coarse, rest = split(torch.tensor(number, dtype=torch.float32))
    assert float(coarse) + float(rest) == number


@pytest.mark.parametrize("rows", [64, 1024])
def test_sums_that_reach_thousands_keep_their_digits(rows: int, draw: Callable) -> None:
    """Where the softmax sees them: 20 below the greatest of a column nothing is left."""
    products = (draw(1, 1, rows, 16, 16) * 20 + 50).float()
    exact = products.double().sum(2)
    assert float(exact.min()) > 1000

    def worst(module: CrossAttention) -> float:
        scores, wanted = module._scores(products).double(), exact
        scores, wanted = (each - each.amax(-2, keepdim=True) for each in (scores, wanted))
        return float((scores - wanted)[wanted > -20].abs().max())

    careful = worst(PortableCrossAttention(16, heads=1))
    assert careful < 2e-5
    assert careful < 0.1 * worst(CrossAttention(16, heads=1))


def test_the_same_network(fill: Callable, draw: Callable) -> None:
    plain = fill(CrossAttention(6, heads=2)).double()
    careful = fill(CrossAttention(6, heads=2)).double()
    assert concerns(careful, REWRITTEN)
    rewrite(careful, REWRITTEN)
    assert type(careful) is PortableCrossAttention
    assert not concerns(careful, REWRITTEN)
    rgb, extra = draw(2, 3, 5, 6), draw(2, 3, 5, 6)
    with torch.inference_mode():
        pairs = zip(careful(rgb, extra), plain(rgb, extra), strict=True)
    for one, other in pairs:
        assert float((one - other).abs().max()) < 1e-12


# The older tracer is deprecated in torch; using it is a decision (docs/decisions/exporter.md).
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_digits_are_kept_in_onnxruntime_after_the_simplifier(draw: Callable) -> None:
    """A file that is simplified still sums in two parts; one sum is 50 times as far off."""

    class Weights(torch.nn.Module):
        def __init__(self, attention: CrossAttention) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.softmax(self.attention._scores(rows), dim=-2)

    products = (draw(1, 1, 256, 16, 16) * 2 + 50).float()
    exact = torch.softmax(products.double().sum(2), dim=-2).numpy()
    worst = {}
    for kind in (CrossAttention, PortableCrossAttention):
        file = io.BytesIO()
        torch.onnx.export(
            Weights(kind(16, heads=1)).eval(),
            (products[:, :, :64],),
            file,
            dynamo=False,
            opset_version=17,
            input_names=["rows"],
            dynamic_axes={"rows": {2: "h"}},
        )
        proto, _ = onnxsim.simplify(
            onnx.load_from_string(file.getvalue()),
            skipped_optimizers=list(simplify.SKIPPED),
            certify=False,
        )
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        (found,) = session.run(None, {"rows": products.numpy()})
        worst[kind] = float(np.abs(found - exact).max())
    assert worst[PortableCrossAttention] < 2e-6
    assert worst[CrossAttention] > 50 * worst[PortableCrossAttention]
