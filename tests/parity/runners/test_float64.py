"""Sums over taps are torch's float64 convolution, whatever the size."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trufor_onnx.parity.runners.torch_runner import replace_convolutions

CLOSE = 1e-12


def convolution(seed: int, channels: int, out: int, size: int, bias: bool) -> nn.Conv2d:
    torch.manual_seed(seed)
    layer = nn.Conv2d(channels, out, size, padding=size // 2, bias=bias)
    return layer.double().requires_grad_(False)


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    channels=st.integers(1, 6),
    out=st.integers(1, 6),
    size=st.sampled_from([1, 3, 5, 7, 9]),
    height=st.integers(1, 23),
    width=st.integers(1, 23),
    bias=st.booleans(),
)
def test_agrees_with_torch(
    seed: int, batch: int, channels: int, out: int, size: int, height: int, width: int, bias: bool
) -> None:
    layer = convolution(seed, channels, out, size, bias)
    maps = torch.randn(batch, channels, height, width, dtype=torch.float64)
    expected = layer(maps)
    assert replace_convolutions(nn.Sequential(layer)) == 1
    found = layer(maps)
    assert found.shape == expected.shape
    assert found.dtype == torch.float64
    assert float((found - expected).abs().max()) <= CLOSE


@settings(max_examples=100)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    channels=st.integers(2, 6),
    size=st.sampled_from([1, 3, 5]),
    height=st.integers(1, 23),
    width=st.integers(1, 23),
    bias=st.booleans(),
    turned=st.booleans(),
)
def test_depthwise_agrees_with_torch(
    seed: int,
    batch: int,
    channels: int,
    size: int,
    height: int,
    width: int,
    bias: bool,
    turned: bool,
) -> None:
    torch.manual_seed(seed)
    layer = nn.Conv2d(channels, channels, size, padding=size // 2, groups=channels, bias=bias)
    layer.double().requires_grad_(False)
    maps = torch.randn(batch, channels, height, width, dtype=torch.float64)
    if turned:  # as the encoder hands it over: channels last in memory
        maps = maps.contiguous(memory_format=torch.channels_last)
    expected = layer(maps)
    assert replace_convolutions(nn.Sequential(layer)) == 1
    found = layer(maps)
    assert found.shape == expected.shape
    assert found.dtype == torch.float64
    assert float((found - expected).abs().max()) <= CLOSE


def test_a_chain_of_layers_agrees() -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(5):
        layers += [nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()]
    network = nn.Sequential(*layers).double().eval().requires_grad_(False)
    maps = torch.randn(2, 8, 17, 31, dtype=torch.float64)
    expected = network(maps)
    assert replace_convolutions(network) == 5
    assert float((network(maps) - expected).abs().max()) <= CLOSE


@pytest.mark.parametrize(
    "change",
    [
        {"stride": 2},
        {"stride": (1, 2)},
        {"padding": 0},
        {"padding": (1, 0)},
        {"padding": "same"},
        {"dilation": 2, "padding": 2},
        {"groups": 2},
        {"groups": 4, "out_channels": 8},
        {"kernel_size": 2},
        {"kernel_size": (3, 1), "padding": (1, 0)},
        {"padding_mode": "reflect"},
        {"padding_mode": "circular"},
    ],
    ids=str,
)
def test_what_it_cannot_do_is_left_to_torch(change: dict[str, object]) -> None:
    arguments = {"out_channels": 4, "kernel_size": 3, "padding": 1} | change
    layer = nn.Conv2d(4, **arguments).double().requires_grad_(False)
    maps = torch.randn(1, 4, 12, 13, dtype=torch.float64)
    expected = layer(maps)
    assert replace_convolutions(nn.Sequential(layer)) == 0
    assert torch.equal(layer(maps), expected)


class Standardised(nn.Conv2d):
    """As timm's ScaledStdConv2d: what it multiplies by is not its weight."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(maps, weight, self.bias)


class Shifted(nn.Conv2d):
    """Overrides what `forward` calls."""

    def _conv_forward(
        self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        return super()._conv_forward(input, 2.0 * weight, bias)


def patched(*arguments: int, **options: int) -> nn.Conv2d:
    layer = nn.Conv2d(*arguments, **options)
    inner = layer.forward
    layer.forward = lambda maps: inner(maps).abs()  # type: ignore[method-assign]
    return layer


@pytest.mark.parametrize("make", [Standardised, Shifted, patched])
@pytest.mark.parametrize("groups", [1, 4])
def test_a_layer_with_a_way_of_its_own_is_left_as_it_is(
    make: Callable[..., nn.Conv2d], groups: int
) -> None:
    torch.manual_seed(0)
    layer = make(4, 4, 3, padding=1, groups=groups).double().requires_grad_(False)
    maps = torch.randn(1, 4, 12, 13, dtype=torch.float64)
    expected = layer(maps)
    assert replace_convolutions(nn.Sequential(layer)) == 0
    assert torch.equal(layer(maps), expected)


def test_a_parametrised_weight_is_computed_as_torch_does() -> None:
    layer = torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1)).double()
    layer.requires_grad_(False)
    maps = torch.randn(1, 4, 12, 13, dtype=torch.float64)
    expected = layer(maps)
    replace_convolutions(nn.Sequential(layer))
    assert float((layer(maps) - expected).abs().max()) <= CLOSE


@pytest.mark.parametrize("groups", [1, 2])
def test_values_that_are_not_finite_stay_where_torch_has_them(groups: int) -> None:
    """Views that overlap rows must not carry a NaN into the next row."""
    layer = nn.Conv2d(2, 2, 3, padding=1, groups=groups).double().requires_grad_(False)
    maps = torch.zeros(1, 2, 9, 9, dtype=torch.float64)
    maps[0, 0, 4, 8] = torch.nan
    expected = layer(maps).isnan()
    replace_convolutions(nn.Sequential(layer))
    assert torch.equal(layer(maps).isnan(), expected)


def test_a_view_with_gaps_is_taken_as_it_is() -> None:
    layer = convolution(4, 2, 3, 3, True)
    maps = torch.randn(2, 4, 20, 18, dtype=torch.float64)[:, ::2, ::2, 3:]
    expected = layer(maps)
    replace_convolutions(nn.Sequential(layer))
    assert float((layer(maps) - expected).abs().max()) <= CLOSE
