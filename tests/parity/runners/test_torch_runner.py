"""PyTorch in both precisions, with errors that a user can read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trufor_onnx.errors import ExportError, ParityError
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.weights.tensors import Weights
from trufor_onnx.parity.runners.torch_runner import NATIVE, TorchRunner


@pytest.fixture
def spec(tiny: dict[str, ModelSpec]) -> ModelSpec:
    return tiny["tiny_np"]


@pytest.fixture
def weights(spec: ModelSpec) -> Weights:
    return WeightsSource(stand_in="golden").weights_for(spec, spec.build())


def feeds(*shape: int) -> dict[str, Any]:
    numbers = np.random.default_rng(3).random(shape or (2, 3, 11, 14))
    return {"image": numbers.astype(np.float32)}


def plain(spec: ModelSpec, weights: Weights, given: dict[str, Any]) -> np.ndarray:
    """The network in float64 without the runner."""
    network = spec.build().double()
    network.load_state_dict(dict(weights.tensors))
    with torch.inference_mode():
        return network(torch.from_numpy(given["image"]).double()).numpy()


@pytest.mark.parametrize(("precision", "dtype"), [(32, np.float32), (64, np.float64)])
def test_it_runs_in_its_precision(
    spec: ModelSpec, weights: Weights, precision: int, dtype: type
) -> None:
    given = feeds()
    with TorchRunner(spec, weights, precision=precision) as runner:
        assert (runner.backend, runner.provider) == (f"torch{precision}", "cpu")
        found = runner.run(given)
    assert set(found) == {"noiseprint"}
    assert found["noiseprint"].dtype == dtype
    far = np.abs(found["noiseprint"] - plain(spec, weights, given)).max()
    assert far < (1e-12 if precision == 64 else 1e-5)


def test_float64_is_not_float32_in_disguise(spec: ModelSpec, weights: Weights) -> None:
    given = feeds()
    with TorchRunner(spec, weights, precision=64) as runner:
        found = runner.run(given)["noiseprint"]
    assert (found != found.astype(np.float32)).mean() > 0.9


def test_which_convolutions_were_replaced(spec: ModelSpec, weights: Weights) -> None:
    assert TorchRunner(spec, weights, precision=64).replaced == 3
    assert TorchRunner(spec, weights, precision=32).replaced == 0
    assert TorchRunner(spec, weights, precision=32, kernel=NATIVE).replaced == 3


def test_the_weights_given_are_the_ones_that_run(spec: ModelSpec) -> None:
    outputs = []
    for seed in ("golden", "other"):
        weights = WeightsSource(stand_in=seed).weights_for(spec, spec.build())
        outputs.append(TorchRunner(spec, weights, precision=64).run(feeds())["noiseprint"])
    assert not np.allclose(*outputs)


def test_the_weights_are_left_as_they_were(spec: ModelSpec, weights: Weights) -> None:
    before = {name: tensor.clone() for name, tensor in weights.tensors.items()}
    TorchRunner(spec, weights, precision=64).run(feeds())
    assert all(torch.equal(before[name], weights.tensors[name]) for name in before)


class Fails(nn.Module):
    """Raises what torch raises where an allocation fails, and other things."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def forward(self, image: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - its interface
        raise self._error


@pytest.fixture
def runner_of(
    spec: ModelSpec, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TorchRunner]:
    def make(module: nn.Module, outputs: int = 1) -> TorchRunner:
        monkeypatch.setattr(ModelSpec, "build", lambda _: module)
        axes = ("batch", "channels", "height", "width")
        named = tuple(replace(spec.outputs[0], name=f"out{n}", axes=axes) for n in range(outputs))
        return TorchRunner(replace(spec, outputs=named), replace(weights, tensors={}), precision=64)

    return make


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory\nstack"),
        MemoryError(),
    ],
)
def test_want_of_memory_is_an_error_of_one_line(
    runner_of: Callable[..., TorchRunner], error: Exception
) -> None:
    with pytest.raises(ParityError) as caught:
        runner_of(Fails(error)).run(feeds())
    problem = caught.value.problem
    assert problem.startswith("tiny_np in torch64 on image (2, 3, 11, 14) ran out of memory: ")
    assert "\n" not in problem
    assert "too large for this machine's memory" in caught.value.hint


def test_a_mistake_in_a_network_is_an_error_with_its_place(
    runner_of: Callable[..., TorchRunner],
) -> None:
    with pytest.raises(ParityError) as caught:
        runner_of(Fails(KeyError("a fault of the network's code"))).run(feeds())
    assert 'failed: KeyError: "a fault of the network\'s code"' in caught.value.problem
    assert "(test_torch_runner.py, line " in caught.value.problem
    assert "memory" not in str(caught.value)


def test_another_number_of_outputs_than_the_spec_names_is_an_error(
    runner_of: Callable[..., TorchRunner],
) -> None:
    assert set(runner_of(nn.Identity()).run(feeds())) == {"out0"}
    with pytest.raises(ParityError, match="returns 1 outputs, its spec names"):
        runner_of(nn.Identity(), outputs=2).run(feeds())


class Noisy(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image[:, :1] + torch.randn_like(image[:, :1])


def test_a_random_network_is_no_reference(spec: ModelSpec) -> None:
    noisy = replace(spec, builder=f"{__name__}:Noisy", builder_arguments={})
    none = WeightsSource(stand_in="golden").weights_for(noisy, noisy.build())
    with pytest.raises(ExportError, match="the network is random: Noisy"):
        TorchRunner(noisy, none, precision=64)
