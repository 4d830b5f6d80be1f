from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch

from trufor_onnx.export.models.noiseprint_pp import NoiseprintConfig, NoiseprintPP

TINY = NoiseprintConfig(depth=5, width=6)


@pytest.mark.parametrize("size", [(1, 1), (9, 14)])
def test_every_layer(
    size: tuple[int, int], fill: Callable, arrays: Callable, plain: ModuleType, draw: Callable
) -> None:
    network = fill(NoiseprintPP(TINY)).double()
    images = draw(2, 3, *size)
    with torch.inference_mode():
        found = network(images).numpy()
    assert found.shape == (2, 1, *size)
    for image, one in zip(images.numpy(), found, strict=True):
        expected = plain.noiseprint(plain.State(arrays(network)), image, TINY.depth)
        assert np.abs(one - expected).max() < 1e-12


def test_receptive_field_is_twice_the_depth_and_one(fill: Callable, draw: Callable) -> None:
    network = fill(NoiseprintPP(TINY)).double()
    image = draw(1, 3, 31, 31)
    changed = image.clone()
    changed[..., 15, 15] += 1
    with torch.inference_mode():
        touched = (network(image) != network(changed))[0, 0].nonzero()
    assert touched.min(0).values.tolist() == [15 - TINY.depth] * 2
    assert touched.max(0).values.tolist() == [15 + TINY.depth] * 2


def test_published_size_and_evaluation_mode() -> None:
    with torch.device("meta"):
        network = NoiseprintPP()
    assert len(network.state_dict()) == 94
    convolutions = 3 * 64 * 9 + 64 + 15 * 64 * 64 * 9 + 64 * 9 + 1
    assert sum(p.numel() for p in network.parameters()) == convolutions + 15 * 2 * 64
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
