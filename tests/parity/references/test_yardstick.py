"""The yardstick is oneDNN, unless it is no yardstick; a reference repeats itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from trufor_onnx.errors import ExportError, ParityError
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.references import yardstick
from trufor_onnx.parity.references.yardstick import (
    CLEARLY_WORSE,
    Yardstick,
    choose_yardstick,
    clearly_worse,
    require_reproducible,
)
from trufor_onnx.parity.runners.torch_runner import NATIVE, ONEDNN, TorchRunner


def chosen(spec: ModelSpec) -> Yardstick:
    weights = WeightsSource(stand_in="golden").weights_for(spec, spec.build())
    feeds = {"image": np.random.default_rng(0).random((1, 3, 64, 64)).astype(np.float32)}
    reference = TorchRunner(spec, weights, precision=64).run(feeds)
    return choose_yardstick(spec, weights, feeds, reference, threads=0)


@pytest.mark.parametrize(
    ("onednn", "native", "worse"),
    [
        ({"a": 1.0}, {"a": 1.0}, False),
        ({"a": CLEARLY_WORSE}, {"a": 1.0}, False),
        ({"a": CLEARLY_WORSE * 1.01}, {"a": 1.0}, True),
        ({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 1.0}, True),
        ({"a": 1.0}, {"a": 5.0}, False),
        ({"a": math.nan}, {"a": 1.0}, False),
        ({"a": 0.0}, {"a": 0.0}, False),
        ({"a": 1e-12}, {"a": 0.0}, True),
    ],
)
def test_when_onednn_is_left(
    onednn: dict[str, float], native: dict[str, float], worse: bool
) -> None:
    assert clearly_worse(onednn, native) is worse


def test_an_output_whose_size_depends_on_the_values(tiny: dict[str, ModelSpec]) -> None:
    spec = tiny["tiny_np"]
    weights = WeightsSource(stand_in="golden").weights_for(spec, spec.build())
    feeds = {"image": np.zeros((1, 3, 8, 8), np.float32)}
    for other in ((0, 8), (1, 1, 8, 9)):
        with pytest.raises(ParityError, match=r"noiseprint has shape .* nothing to compare"):
            choose_yardstick(spec, weights, feeds, {"noiseprint": np.zeros(other)}, threads=0)


@pytest.mark.parametrize(("worse", "kernel"), [(False, ONEDNN), (True, NATIVE)])
def test_the_runner_is_the_one_that_the_document_names(
    tiny: dict[str, ModelSpec], monkeypatch: pytest.MonkeyPatch, worse: bool, kernel: str
) -> None:
    monkeypatch.setattr(yardstick, "clearly_worse", lambda *_: worse)
    found = chosen(tiny["tiny_np"])
    assert found.kernel == kernel
    assert found.runner.backend == "torch32"
    assert found.runner.replaced == (3 if worse else 0)
    document = found.document()
    assert document["convolution_kernel"] == kernel
    assert document["instructions"] == torch.backends.cpu.get_cpu_capability()
    assert set(found.errors) == {ONEDNN, NATIVE}
    assert all(0.0 < error["noiseprint"] < 1e-5 for error in found.errors.values())


def test_a_network_without_such_convolutions_has_no_choice(
    tiny: dict[str, ModelSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pointwise(torch.nn.Sequential):
        def __init__(self) -> None:
            super().__init__(torch.nn.Conv2d(3, 1, 1))

    monkeypatch.setattr(ModelSpec, "build", lambda _: Pointwise().eval().requires_grad_(False))
    found = chosen(replace(tiny["tiny_np"], name="pointwise"))
    assert (found.kernel, set(found.errors)) == (ONEDNN, {ONEDNN})


class Forgotten(nn.Module):
    """A tensor that is in no checkpoint and drawn anew each time: the published defect."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self._forgotten = torch.rand(1, dtype=torch.float64) * 1e-9

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image[:, :1] * (1 + self._forgotten) + self.weight


class Dropping(nn.Module):
    """Left in training mode: another output on every call."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(image[:, :1] + self.weight, 0.5, training=True)


class Broken(nn.Module):
    """NaN, the same each time: reproducible, and refused elsewhere (`results.comparison`)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image[:, :1] * torch.nan


def proven(
    spec: ModelSpec, module: type[nn.Module] | None, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    if module is not None:
        monkeypatch.setattr(ModelSpec, "build", lambda _: module().eval())
        spec = replace(spec, name="hand_made")
    weights = WeightsSource(stand_in="golden").weights_for(spec, spec.build())
    feeds = {"image": np.random.default_rng(0).random((1, 3, 16, 16)).astype(np.float32)}
    outputs = TorchRunner(spec, weights, precision=64).run(feeds)
    return require_reproducible(spec, weights, feeds, outputs, threads=0)


@pytest.mark.parametrize("module", [None, Broken])
def test_a_network_that_its_weights_decide_is_accepted(
    tiny: dict[str, ModelSpec], monkeypatch: pytest.MonkeyPatch, module: type[nn.Module] | None
) -> None:
    proven(tiny["tiny_np"], module, monkeypatch)


@pytest.mark.parametrize(
    ("module", "error", "said"),
    [
        (Forgotten, ParityError, "built twice, differs in noiseprint"),
        (Dropping, ExportError, "the network is random: Dropping"),
    ],
)
def test_a_network_that_draws_is_refused_by_name(
    tiny: dict[str, ModelSpec],
    monkeypatch: pytest.MonkeyPatch,
    module: type[nn.Module],
    error: type[Exception],
    said: str,
) -> None:
    with pytest.raises(error, match=said):
        proven(tiny["tiny_np"], module, monkeypatch)


class HalfInside(Broken):
    """A reference that is coarser than the file it should judge."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image[:, :1] + self.weight).half().to(image.dtype)


class SingleInside(Broken):
    """A norm in float32, as many transformers have it."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image[:, :1] + self.weight).float().to(image.dtype)


def test_a_reference_that_computes_in_float16_is_none(
    tiny: dict[str, ModelSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ParityError, match=r"the reference is not float64 throughout: .*float16"):
        proven(tiny["tiny_np"], HalfInside, monkeypatch)


def test_a_reference_that_computes_in_float32_is_said(
    tiny: dict[str, ModelSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = proven(tiny["tiny_np"], SingleInside, monkeypatch)
    assert said == ["the network's own forward computes in float32"]
    assert proven(tiny["tiny_np"], Broken, monkeypatch) == []
