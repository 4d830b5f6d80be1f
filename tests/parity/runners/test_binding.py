"""Bound runs through the real ONNX Runtime, with the processor's memory as the device's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.runners import onnxruntime_runner
from trufor_onnx.parity.runners import onnxruntime_runner as binding
from trufor_onnx.parity.runners.onnxruntime_runner import OnnxRuntimeRunner
from trufor_onnx.parity.runners.providers import Provider

CPU = Provider("cpu", required=True)


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "DEVICE", "cpu")
    monkeypatch.setattr(onnxruntime_runner, "BINDS", ("cpu",))


def feeds(*shape: int) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(0).random(shape, dtype=np.float32)}


def test_bound_and_plain_runs_give_the_same_outputs(
    exported_once: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, shape in (("tiny_np", (2, 3, 9, 7)), ("tiny_trufor", (1, 3, 40, 33))):
        with OnnxRuntimeRunner(exported_once(name), CPU, threads=1) as runner:
            plain = runner.run(feeds(*shape))
            with monkeypatch.context() as patch:
                patch.setattr(binding, "DEVICE", "cpu")
                patch.setattr(onnxruntime_runner, "BINDS", ("cpu",))
                found = runner.run(feeds(*shape))
        assert list(found) == list(plain)
        for output, array in found.items():
            assert array.dtype == plain[output].dtype
            assert np.array_equal(array, plain[output])


@pytest.mark.usefixtures("bound")
def test_outputs_of_one_run_stay_when_another_is_made(
    exported_once: Callable[[str], Path],
) -> None:
    """Nothing that a caller holds lies in memory that the next run takes."""
    with OnnxRuntimeRunner(exported_once("tiny_np"), CPU, threads=1) as runner:
        first = runner.run(feeds(1, 3, 8, 8))["noiseprint"]
        kept = first.copy()
        runner.run({"image": np.ones((1, 3, 8, 8), np.float32)})
        assert np.array_equal(first, kept)
        assert runner.run(feeds(1, 3, 16, 8))["noiseprint"].shape == (1, 1, 16, 8)


@pytest.mark.usefixtures("bound")
def test_wrong_inputs_are_an_error_here_too(exported_once: Callable[[str], Path]) -> None:
    with OnnxRuntimeRunner(exported_once("tiny_np"), CPU, threads=1) as runner:
        for given in (
            {},
            {"rgb": np.zeros((1, 3, 8, 8), np.float32)},
            {"image": np.zeros((1, 4, 8, 8), np.float32)},
        ):
            with pytest.raises(ParityError, match="ONNX Runtime failed on"):
                runner.run(given)
