from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch

from trufor_onnx.export.models.fusion import CrossAttention, FeatureFusion, FeatureRectification

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
