"""The networks as ONNX Runtime computes them are the networks: exact in float64."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from trufor_onnx.export.models import ort as ort_encoder
from trufor_onnx.export.models.attention import Block
from trufor_onnx.export.models.mit_b2 import MiTB2
from trufor_onnx.export.models.ort import REWRITTEN
from trufor_onnx.export.models.trufor import TruFor, TruForConfig
from trufor_onnx.export.variants import rewrite

EXACT = 1e-11  # sums of a few hundred float64 numbers of size 1 to 100, in two orders


@pytest.fixture
def unruly(draw: Callable) -> Callable[[nn.Module], nn.Module]:
    """Scales, shifts and biases of every size and sign, zeros among them."""

    def disturb(network: nn.Module) -> nn.Module:
        for name, tensor in network.state_dict().items():
            if tensor.dim() == 1 and tensor.is_floating_point():
                tensor.copy_(draw(*tensor.shape) * 2)
                tensor[0] = 0.0
                if name.endswith("running_var"):
                    tensor.abs_().add_(0.5)
        return network

    return disturb


def worst(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    pairs = zip(found, expected, strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


@pytest.mark.parametrize(("heads", "reduction"), [(1, 8), (1, 1), (2, 4), (4, 2), (4, 1)])
def test_a_block(
    heads: int, reduction: int, fill: Callable, unruly: Callable, draw: Callable
) -> None:
    block = unruly(fill(Block(8, heads=heads, reduction=reduction)).double())
    rewritten = rewrite(copy.deepcopy(block), REWRITTEN)
    grid = draw(2, 19, 26, 8) * 3
    with torch.inference_mode():
        assert worst((rewritten(grid),), (block(grid),)) < EXACT


# The older tracer is deprecated in torch; using it is a decision (docs/decisions/exporter.md).
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("heads", "reduction"), [(1, 8), (2, 4), (4, 1)])
@pytest.mark.parametrize(("size", "mean"), [(0.05, 0.2), (5.0, 20.0)])
def test_a_block_in_float32_is_as_exact(
    heads: int, reduction: int, size: float, mean: float, draw: Callable
) -> None:
    """Also with large biases on tokens far from 0, where `SHIFT` has to carry them."""
    block = Block(32, heads=heads, reduction=reduction).eval().requires_grad_(False)
    for name, tensor in block.state_dict().items():
        fan_in = tensor[0].numel()
        scale = fan_in**-0.5 if tensor.dim() > 1 else size
        tensor.copy_(draw(*tensor.shape) * 2 * scale)
        if "norm" in name and name.endswith("weight"):
            tensor.copy_(1 + 0.5 * draw(*tensor.shape))
    grid = (draw(1, 24, 32, 32) * 2 + mean).float()
    exact = copy.deepcopy(block).double()(grid.double())
    rewritten = rewrite(copy.deepcopy(block), REWRITTEN)

    def error(module: nn.Module) -> float:
        found = torch.from_numpy(in_onnxruntime(module, grid)).double()
        return float((found - exact).abs().mean())

    assert error(rewritten) < 1.15 * error(block)


def in_onnxruntime(module: nn.Module, grid: Tensor) -> npt.NDArray[np.float32]:
    file = io.BytesIO()
    torch.onnx.export(module, (grid,), file, dynamo=False, opset_version=17, input_names=["grid"])
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    found: npt.NDArray[np.float32] = session.run(None, {"grid": grid.numpy()})[0]
    return found


@pytest.mark.parametrize("direct_from", [1, 12, 512])
def test_the_encoder(
    direct_from: int,
    tiny: TruForConfig,
    fill: Callable,
    unruly: Callable,
    draw: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each way to the context: of keys and values, or of the channels' products."""
    monkeypatch.setattr(ort_encoder, "DIRECT_FROM", direct_from)
    encoder = unruly(fill(MiTB2(tiny.encoder)).double())
    rewritten = rewrite(copy.deepcopy(encoder), REWRITTEN)
    given = draw(2, 3, 67, 90), draw(2, 3, 67, 90)
    with torch.inference_mode():
        assert worst(rewritten(*given), encoder(*given)) < EXACT


def test_the_detector(tiny: TruForConfig, fill: Callable, draw: Callable) -> None:
    network = fill(TruFor(tiny)).double()
    rewritten = rewrite(copy.deepcopy(network), REWRITTEN)
    image = draw(1, 3, 45, 64).abs()
    with torch.inference_mode():
        assert worst(rewritten(image), network(image)) < EXACT
