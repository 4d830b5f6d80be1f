"""PyTorch's own float32 kernel in place of oneDNN's, and nothing else changed by it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trufor_onnx.parity.runners.torch_runner import use_native_convolutions


def network() -> nn.Sequential:
    torch.manual_seed(1)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 1),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 4, 3, stride=2, dilation=2, padding=1),
    )
    return layers.eval().requires_grad_(False)


def test_dense_convolutions_larger_than_1x1_are_replaced() -> None:
    assert use_native_convolutions(network()) == 2
    assert use_native_convolutions(nn.Sequential(nn.Linear(3, 3))) == 0


def test_the_numbers_are_the_same_to_rounding() -> None:
    maps = torch.rand(2, 3, 21, 34)
    plain, native = network(), network()
    use_native_convolutions(native)
    expected, found = plain(maps), native(maps)
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_onednn_is_left_out_inside_and_as_it_was_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    convolve = torch.nn.functional.conv2d

    def watched(*arguments: object) -> torch.Tensor:
        seen.append(torch._C._get_mkldnn_enabled())
        return convolve(*arguments)

    native = network()
    use_native_convolutions(native)
    monkeypatch.setattr(torch.nn.functional, "conv2d", watched)
    native(torch.rand(1, 3, 16, 16))
    # The 1 x 1 and the grouped convolution stay with oneDNN.
    assert seen == [False, True, True, False]
    assert torch._C._get_mkldnn_enabled()


def test_onednn_comes_back_after_an_error() -> None:
    native = network()
    use_native_convolutions(native)
    with pytest.raises(RuntimeError):
        native(torch.rand(1, 5, 16, 16))
    assert torch._C._get_mkldnn_enabled()


class Doubled(nn.Conv2d):
    """A convolution with a way of its own."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(maps, 2.0 * self.weight, self.bias)


@pytest.mark.parametrize(
    "layer", [Doubled(3, 4, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")]
)
def test_a_layer_that_does_more_than_convolve_is_left_as_it_is(layer: nn.Conv2d) -> None:
    maps = torch.rand(1, 3, 9, 9)
    with torch.no_grad():
        expected = layer(maps)
        assert use_native_convolutions(nn.Sequential(layer)) == 0
        assert torch.equal(layer(maps), expected)
