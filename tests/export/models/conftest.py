"""Networks with stand-in weights, and the reference data where it is at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from trufor_onnx.export.models.mit_b2 import EncoderConfig
from trufor_onnx.export.models.noiseprint_pp import NoiseprintConfig
from trufor_onnx.export.models.trufor import TruForConfig
from trufor_onnx.export.weights.standin import stand_in_state

# Every stage differs from every other, heads are several, one reduction is 1.
TINY_ENCODER = EncoderConfig(
    channels=(4, 8, 12, 16), depths=(1, 2, 1, 1), heads=(1, 2, 3, 4), reductions=(8, 4, 2, 1)
)
TINY = TruForConfig(
    noiseprint=NoiseprintConfig(depth=4, width=6),
    encoder=TINY_ENCODER,
    decoder_width=10,
    score_width=7,
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads gain a tiny network nothing, and waiting for each other they can cost seconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def fill(network: nn.Module, *, seed: str = "golden", prefix: str = "") -> nn.Module:
    """Give a network, also one on the ``meta`` device, its stand-in weights."""
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    state = stand_in_state(seed, shapes, prefix=prefix)
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}
    network.load_state_dict(tensors, assign=True)
    return network


@pytest.fixture(name="fill", scope="session")
def fill_fixture() -> Callable[..., nn.Module]:
    return fill


@pytest.fixture(scope="session")
def tiny() -> TruForConfig:
    """A TruFor of a few thousand parameters."""
    return TINY


def arrays(network: nn.Module) -> dict[str, np.ndarray]:
    """The state dict as float64 arrays."""
    return {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}


@pytest.fixture(name="arrays", scope="session")
def arrays_fixture() -> Callable[..., dict[str, np.ndarray]]:
    return arrays


@pytest.fixture(scope="session")
def plain() -> ModuleType:
    """`plain.py` beside this file: the networks in numpy, written independently."""
    from tests.export.models import plain

    return plain


@pytest.fixture
def draw() -> Callable[..., torch.Tensor]:
    """float64 in [-1, 1), the same in every run: ``draw(B, C, h, w)``."""
    generator = torch.Generator().manual_seed(7)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1

    return numbers
