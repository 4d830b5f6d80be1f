"""A random network is named, with the module that draws, before anything is written."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from trufor_onnx.errors import ExportError
from trufor_onnx.export.build import export_model
from trufor_onnx.export.graph.repeatable import require_repeatable
from trufor_onnx.export.networks.spec import ModelSpec, TensorSpec
from trufor_onnx.export.weights.sources import WeightsSource

SEED = WeightsSource(stand_in="s")


class Network(nn.Module):
    """Random in none or one of several manners."""

    def __init__(self, manner: str = "") -> None:
        super().__init__()
        self.manner = manner
        self.conv = nn.Conv2d(3, 3, 1)
        self.drop = nn.Dropout(0.3)
        self.inner = nn.Sequential(
            nn.Conv2d(3, 3, 1), Jitter() if manner == "python" else nn.ReLU()
        )

    def train(self, mode: bool = True) -> Network:
        super().train(mode)
        self.drop.train(self.manner == "module")
        return self

    def forward(self, image: Tensor) -> Tensor:
        x = self.inner(self.drop(self.conv(image)))
        if self.manner == "noise":
            x = x + 0.1 * torch.randn_like(x)
        if self.manner == "seeded":
            torch.manual_seed(1)
            x = x + 0.1 * torch.rand_like(x)
        if self.manner == "function":
            x = nn.functional.dropout(x, 0.2, training=True)
        if self.manner == "bernoulli":
            x = x * torch.bernoulli(torch.full_like(x, 0.5))
        found: Tensor = x
        return found


class Jitter(nn.Module):
    """Draws in Python: a graph would hold one draw as a constant."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + random.random())


def spec(manner: str) -> ModelSpec:
    return ModelSpec(
        name="small",
        title="",
        version="1",
        inputs=(TensorSpec("image", ("batch", 3, "height", "width"), ""),),
        outputs=(TensorSpec("result", ("batch", 3, "height", "width"), ""),),
        builder=f"{__name__}:Network",
        builder_arguments={"manner": manner},
    )


@pytest.mark.parametrize(
    ("manner", "named"),
    [
        ("module", "Dropout /drop/Dropout (training)"),
        ("function", "Dropout /Dropout (training)"),
        ("noise", "RandomNormalLike /RandomNormalLike"),
        ("seeded", "RandomUniformLike"),
        ("bernoulli", "Bernoulli"),
        ("python", "inner.1 (Jitter) gives another output for the same input"),
    ],
)
def test_the_export_names_what_draws(manner: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError) as refusal:
        export_model(spec(manner), SEED, tmp_path / "out")
    assert f"the network is random: {named}" in refusal.value.problem
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("manner", "named"),
    [
        ("module", "drop (Dropout)"),
        ("function", "Network, in its own forward"),
        ("noise", "Network, in its own forward"),
        ("python", "inner.1 (Jitter)"),
    ],
)
def test_two_runs_name_the_module(manner: str, named: str) -> None:
    network = spec(manner).build().double()
    with pytest.raises(ExportError, match="the network is random") as refusal:
        require_repeatable(spec(manner), network)
    assert named in refusal.value.problem


def test_what_repeats_is_fine() -> None:
    require_repeatable(spec(""), spec("").build())
