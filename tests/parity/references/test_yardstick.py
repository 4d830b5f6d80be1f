"""The yardstick is oneDNN, unless it is clearly the worse of PyTorch's kernels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from trufor_onnx.errors import ParityError
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.references import yardstick
from trufor_onnx.parity.references.yardstick import (
    CLEARLY_WORSE,
    Yardstick,
    choose_yardstick,
    clearly_worse,
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
