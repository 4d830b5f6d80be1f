from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch

from trufor_onnx.errors import UserError
from trufor_onnx.export.models.mit_b2 import (
    MIN_SIZE,
    EncoderConfig,
    InputShapeError,
    MiTB2,
    check_images,
)
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


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (4, 3, 32, 500), (2, 3, 33, 47)])
def test_sizes_from_the_least_up_pass(shape: tuple[int, ...]) -> None:
    check_images(torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize("size", [(31, 32), (32, 31), (1, 1), (600, 16)])
def test_too_small_says_the_size_and_the_least(size: tuple[int, int]) -> None:
    with pytest.raises(InputShapeError) as caught:
        check_images(torch.zeros(1, 3, *size))
    assert f"{size[0]} x {size[1]}" in caught.value.problem
    assert f"{MIN_SIZE} x {MIN_SIZE}" in caught.value.problem
    assert caught.value.hint
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 64, 64)],
        [(1, 1, 64, 64)],
        [(1, 64, 64, 3)],
        [(1, 3, 64, 64), (1, 1, 64, 64)],
        [(1, 3, 64, 64), (2, 3, 64, 64)],
        [(1, 3, 64, 64), (1, 3, 64, 65)],
    ],
)
def test_other_shapes_are_refused_with_what_came(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(InputShapeError) as caught:
        check_images(*(torch.zeros(shape) for shape in shapes))
    assert all(str(shape) in caught.value.problem for shape in shapes)


def test_a_one_channel_map_passes_only_where_it_may() -> None:
    image, extra = torch.zeros(2, 3, 40, 48), torch.zeros(2, 1, 40, 48)
    check_images(image, extra, one_channel=True)
    with pytest.raises(InputShapeError):
        check_images(image, extra)
    with pytest.raises(InputShapeError):
        check_images(image, extra[:, :, 1:], one_channel=True)
    with pytest.raises(InputShapeError):
        check_images(extra, extra, one_channel=True)
