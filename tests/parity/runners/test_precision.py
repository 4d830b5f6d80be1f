"""Where a float64 network computes in less."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from trufor_onnx.parity.runners.torch_runner import ROOT, watching

X = torch.rand(1, 3, 8, 8, dtype=torch.float64)


class Net(nn.Module):
    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 4, 1), Act(change)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.act(self.conv(x))
        return found


class Act(nn.Module):
    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.change(x)


def into_a_plain_tensor(x: torch.Tensor) -> torch.Tensor:
    found = torch.zeros(x.shape)  # float32, as torch makes them
    found[...] = x
    return found.to(x.dtype)


def watched(module: nn.Module) -> dict[str, set[str]]:
    with torch.inference_mode(), watching(module.double().eval()) as found:
        module(X)
    return found


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda x: x.float().to(x.dtype), "float32"),
        (lambda x: x.half().to(x.dtype), "float16"),
        (lambda x: x.bfloat16().to(x.dtype), "bfloat16"),
        (lambda x: torch.softmax(x, 1, dtype=torch.float32).to(x.dtype), "float32"),
        (lambda x: x.sum(1, dtype=torch.float32).to(x.dtype), "float32"),
        (into_a_plain_tensor, "float32"),
    ],
)
def test_a_cast_inside_is_found_and_the_module_named(
    change: Callable[[torch.Tensor], torch.Tensor], kind: str
) -> None:
    assert watched(Net(change)) == {"act": {kind}}
    assert watched(Act(change)) == {ROOT: {kind}}


@pytest.mark.parametrize(
    "change",
    [
        torch.relu,
        lambda x: x * (x > 0).float() + torch.arange(8.0),
        lambda x: x * torch.tensor(0.5),
        lambda x: x.argmax(1),
    ],
)
def test_numbers_that_were_never_float64_are_not_meant(
    change: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    assert watched(Net(change)) == {}


def test_nothing_is_watched_after_the_block() -> None:
    module = Net(torch.relu)
    with watching(module.double()):
        pass
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in module.modules())
