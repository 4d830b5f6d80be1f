"""PyTorch in both precisions: its kernels, its float64 convolution, what computes in less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trufor_onnx.errors import ExportError, ParityError
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.weights.tensors import Weights
from trufor_onnx.parity.runners.torch_runner import (
    NATIVE,
    ROOT,
    TorchRunner,
    replace_convolutions,
    use_native_convolutions,
    watching,
)

CLOSE = 1e-12
X = torch.rand(1, 3, 8, 8, dtype=torch.float64)


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
