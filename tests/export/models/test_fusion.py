from __future__ import annotations

import io
from collections.abc import Callable
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import onnxsim
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.export.models.fusion import (
    REWRITTEN,
    STEP,
    CrossAttention,
    FeatureFusion,
    FeatureRectification,
    PortableCrossAttention,
    split,
)
from trufor_onnx.export.transforms import simplify
from trufor_onnx.export.variants import concerns, rewrite

EXACT = 1e-12  # sums of a few dozen float64 numbers of size 1, in two orders


def test_rectification(fill: Callable, arrays: Callable, plain: ModuleType, draw: Callable) -> None:
    module = fill(FeatureRectification(5)).double()
    rgb, extra = draw(2, 5, 3, 4), draw(2, 5, 3, 4)
    with torch.inference_mode():
        found = module(rgb, extra)
    for index in range(2):
        state = plain.State(arrays(module))
        expected = plain.rectification(state, rgb[index].numpy(), extra[index].numpy())
        for one, other in zip(found, expected, strict=True):
            assert one[index].shape == other.shape
            assert np.abs(one[index].numpy() - other).max() < EXACT


@pytest.mark.parametrize(("channels", "heads"), [(6, 3), (8, 1)])
def test_fusion(
    channels: int,
    heads: int,
    fill: Callable,
    arrays: Callable,
    plain: ModuleType,
    draw: Callable,
) -> None:
    module = fill(FeatureFusion(channels, heads=heads)).double().eval()
    rgb, extra = draw(2, channels, 3, 5), draw(2, channels, 3, 5)
    with torch.inference_mode():
        found = module(rgb, extra)
    for index in range(2):
        state = plain.State(arrays(module))
        expected = plain.fusion(state, rgb[index].numpy(), extra[index].numpy(), heads=heads)
        assert found[index].shape == expected.shape
        assert np.abs(found[index].numpy() - expected).max() < EXACT


def test_a_context_is_a_distribution_over_key_channels(fill: Callable, draw: Callable) -> None:
    module = fill(CrossAttention(6, heads=2)).double()
    with torch.inference_mode():
        context = module._context(draw(2, 3, 4, 12))
    assert context.shape == (2, 2, 3, 3)
    assert torch.allclose(context.sum(-2), torch.ones(2, 2, 3, dtype=torch.float64), atol=EXACT)
    assert not torch.allclose(context.sum(-1), torch.ones(2, 2, 3, dtype=torch.float64))


def test_each_branch_reads_the_others_context(fill: Callable, draw: Callable) -> None:
    module = fill(CrossAttention(6, heads=2)).double()
    rgb, extra = draw(1, 3, 4, 6), draw(1, 3, 4, 6)
    with torch.inference_mode():
        rgb_before, extra_before = module(rgb, extra)
        module.kv2.weight.mul_(2)
        rgb_after, extra_after = module(rgb, extra)
    assert not torch.equal(rgb_before, rgb_after)
    assert torch.equal(extra_before, extra_after)


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
