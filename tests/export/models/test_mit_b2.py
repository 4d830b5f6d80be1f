from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch

from trufor_onnx.export.models.mit_b2 import EncoderConfig, MiTB2
from trufor_onnx.export.models.rewriting import InputShapeError
from trufor_onnx.export.models.trufor import TruForConfig

EXACT = 1e-11  # about a hundred operations on float64 numbers of size 1


@pytest.fixture(scope="module")
def network(fill: Callable, tiny: TruForConfig) -> MiTB2:
    module = fill(MiTB2(tiny.encoder), prefix="backbone.").double()
    assert isinstance(module, MiTB2)
    return module


@pytest.mark.parametrize("size", [(32, 32), (45, 61)])
def test_fused_maps(
    size: tuple[int, int], network: MiTB2, arrays: Callable, plain: ModuleType, draw: Callable
) -> None:
    rgb, noise = draw(2, 3, *size), draw(2, 3, *size)
    with torch.inference_mode():
        found = network(rgb, noise)
    config = network.config
    for index in range(2):
        expected = plain.encoder(
            plain.State(arrays(network)),
            rgb[index].numpy(),
            noise[index].numpy(),
            heads=config.heads,
            reductions=config.reductions,
        )
        for maps, other in zip(found, expected, strict=True):
            assert maps[index].shape == other.shape
            assert np.abs(maps[index].numpy() - other).max() < EXACT


@pytest.mark.parametrize("size", [(32, 32), (33, 64), (63, 65), (97, 40)])
def test_sizes_round_up(size: tuple[int, int], network: MiTB2, draw: Callable) -> None:
    with torch.inference_mode():
        fused = network(draw(1, 3, *size), draw(1, 3, *size))
    for maps, channels, stride in zip(fused, network.config.channels, (4, 8, 16, 32), strict=True):
        assert maps.shape == (1, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_inputs_that_do_not_belong_together_are_refused(network: MiTB2, draw: Callable) -> None:
    with pytest.raises(InputShapeError, match=r"\(1, 3, 64, 64\) and \(1, 1, 64, 64\)"):
        network(draw(1, 3, 64, 64), draw(1, 1, 64, 64))
    with pytest.raises(InputShapeError, match="31 x 40 pixels"):
        network(draw(1, 3, 31, 40), draw(1, 3, 31, 40))


def test_published_size() -> None:
    with torch.device("meta"):
        network = MiTB2()
    assert network.config == EncoderConfig()
    assert len(network.state_dict()) == 820
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == 65.0
    assert not network.training
