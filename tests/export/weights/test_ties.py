"""A tensor under two names has one value, in stand-in weights and in checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trufor_onnx.errors import CoverageError
from trufor_onnx.export.build import build_file
from trufor_onnx.export.networks.spec import ModelSpec, TensorSpec
from trufor_onnx.export.weights.coverage import tied_names
from trufor_onnx.export.weights.sources import WeightsSource

AXES = ("batch", 3, "height", "width")


class Shared(nn.Module):
    """One convolution in two places, and one weight in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.again = self.first
        self.third = nn.Conv2d(3, 3, 1, bias=False)
        self.fourth = nn.Conv2d(3, 3, 1, bias=False)
        self.fourth.weight = self.third.weight

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.fourth(self.third(self.again(torch.relu(self.first(image)))))
        return found


SPEC = ModelSpec(
    name="shared",
    title="",
    version="1",
    inputs=(TensorSpec("image", AXES, ""),),
    outputs=(TensorSpec("result", AXES, ""),),
    builder=f"{__name__}:Shared",
)
TIED = {
    "again.weight": "first.weight",
    "again.bias": "first.bias",
    "fourth.weight": "third.weight",
}


def test_names() -> None:
    assert tied_names(Shared()) == TIED
    assert tied_names(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))) == {}


def test_stand_in_weights_have_one_value() -> None:
    weights = WeightsSource(stand_in="s").weights_for(SPEC, SPEC.build())
    for name, first in TIED.items():
        assert weights.digests[name] == weights.digests[first]
    assert build_file(SPEC, WeightsSource(stand_in="s")).data  # the self-check compares with torch


def save(**changes: Any) -> WeightsSource:
    torch.manual_seed(0)
    state = {n: t.clone() for n, t in Shared().state_dict().items()}
    for name, value in changes.items():
        state[name.replace("_", ".")] = value
    torch.save({n: t for n, t in state.items() if t is not None}, "shared.pth")
    return WeightsSource(Path("shared.pth"))


def test_a_checkpoint() -> None:
    assert build_file(SPEC, save()).data


def test_a_checkpoint_with_two_values() -> None:
    with pytest.raises(CoverageError, match=r"has two values: again\.bias and first\.bias"):
        build_file(SPEC, save(again_bias=torch.ones(3)))


def test_a_missing_name_is_filled_with_the_value_of_the_other() -> None:
    source = save(again_bias=None)
    with pytest.raises(CoverageError, match=r"missing 1 tensors.*\n +again\.bias"):
        build_file(SPEC, source)
    filled = WeightsSource(source.path, stand_in="s")
    weights = filled.weights_for(SPEC, SPEC.build())
    assert weights.digests["again.bias"] == weights.digests["first.bias"]
    assert build_file(SPEC, filled).data
