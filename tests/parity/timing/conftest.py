"""Tiny ONNX files, and a benchmark's rows made without running anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.statistics import Spread, noise_floor
from trufor_onnx.parity.results.timing import (
    BenchReport,
    LatencyFigures,
    MemoryFigures,
    Series,
    TimedFile,
    TimingOutcome,
    summarise,
)
from trufor_onnx.parity.timing.plan import ONNXRUNTIME, Task

SHAPE = (1, 3, 8, 8)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A file of one node: ``Abs`` works, ``Log`` of its negative input is no number."""
    folder = tmp_path_factory.mktemp("tiny_onnx")

    def path(operator: str = "Abs") -> Path:
        file = folder / f"{operator}.onnx"
        free = ["batch", 3, "height", "width"]
        ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, free) for n in ("image", "y")]
        nodes = [helper.make_node(operator, ["image"], ["y"])]
        graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), file)
        return file

    return path


@pytest.fixture(scope="session")
def task(model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A task on one of these files."""
    inputs = tmp_path_factory.mktemp("inputs") / "inputs.npz"
    np.savez(inputs, image=np.full(SHAPE, -1.0, np.float32))

    def make(operator: str = "Abs", **changes: Any) -> Task:
        given: dict[str, Any] = {"path": str(model(operator)), "threads": 1, **changes}
        return Task(ONNXRUNTIME, str(inputs), **given)

    return make


def contestant(variant: str = "portable", **changes: Any) -> Contestant:
    given = {"model": "net", "backend": "onnxruntime", "provider": "cpu", **changes}
    return Contestant(variant=variant, **given)


def latency(variant: str = "portable", scale: int = 1, **changes: Any) -> LatencyFigures:
    """A measured row; its times are made up."""
    numbers = np.random.default_rng(scale)
    series = tuple(
        Series(
            name,
            5_000_000,
            3_000_000,
            tuple(i // 2 for i in range(20)),
            tuple((numbers.integers(900, 1100, 20) * scale).tolist()),
        )
        for name in "ab"
    )
    noise = Spread(1.0, 0.98, 1.03)
    given: dict[str, Any] = {
        "series": series,
        "summary": summarise([sample for one in series for sample in one.samples_ns]),
        "noise": noise,
        "noise_floor": noise_floor(noise),
        **changes,
    }
    return LatencyFigures(contestant(variant), 64, 96, TimingOutcome.MEASURED, **given)


def report(*rows: LatencyFigures, memory: tuple[MemoryFigures, ...] = ()) -> BenchReport:
    return BenchReport(
        environment={"processor": "a processor", "packages": {"onnxruntime": "1.32.0"}},
        settings={"seed": 7, "threads": 0, "spinning": False, "warmups": 2},
        files=(TimedFile("net", "portable", "net.onnx", 123, "f" * 64),),
        latency=rows,
        memory=memory,
    )


@pytest.fixture(name="contestant")
def contestant_fixture() -> Any:
    return contestant


@pytest.fixture(name="latency")
def latency_fixture() -> Any:
    return latency


@pytest.fixture(name="report")
def report_fixture() -> Any:
    return report
