"""PyTorch float32 with its other convolution kernel, where oneDNN's rounds carelessly.

On processors without AVX-512, oneDNN's 3 x 3 convolution was measured 2.2 to 2.6 times farther
from float64 than PyTorch's own (docs/decisions/float32-yardstick.md). PyTorch float32 is the
yardstick of every candidate: a worse kernel must not make a gate easier to pass.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from parity.runners.float64 import is_plain

if TYPE_CHECKING:
    import torch


def use_native_convolutions(module: torch.nn.Module) -> int:
    """Let dense convolutions larger than 1 x 1 run without oneDNN. Returns how many do."""
    count = 0
    for layer in module.modules():
        if not is_plain(layer) or layer.padding_mode != "zeros":
            continue
        if layer.groups == 1 and max(layer.kernel_size) > 1:
            layer.forward = partial(_convolve, layer)  # type: ignore[method-assign] # an instance
            count += 1
    return count


def _convolve(layer: torch.nn.Conv2d, maps: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) to (B, C', H', W'), by PyTorch's own kernel."""
    import torch

    # Not `torch.backends.mkldnn.flags`: that one warns about TF32 on every call.
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        return torch.nn.functional.conv2d(
            maps,
            layer.weight,
            layer.bias,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
        )
    finally:
        torch._C._set_mkldnn_enabled(before)
