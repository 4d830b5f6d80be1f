"""Files to cut: random bytes, small ONNX models, and the maker of full-size ones."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import onnx
import pytest
from onnx import TensorProto, helper

ROOT = Path(__file__).parents[2]


def random_bytes(size: int, seed: str = "") -> bytes:
    return random.Random(f"{seed}/{size}").randbytes(size)


def model_bytes(
    tensors: dict[str, bytes], *, nodes: list[onnx.NodeProto] | None = None, **graph: object
) -> bytes:
    """A model with these raw uint8 initializers; ``graph`` goes to ``make_graph``."""
    initializers = [
        helper.make_tensor(name, TensorProto.UINT8, [len(raw)], raw, raw=True)
        for name, raw in tensors.items()
    ]
    nodes = nodes or [helper.make_node("Identity", ["x"], ["y"])]
    output = helper.make_tensor_value_info("y", TensorProto.UINT8, None)
    made = helper.make_graph(nodes, "graph", [], [output], initializer=initializers, **graph)
    return helper.make_model(made).SerializeToString()


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """`benchmarks/synthetic_onnx.py`, which writes a full-size model."""
    return _load(ROOT / "benchmarks" / "synthetic_onnx.py")


@pytest.fixture
def make_model() -> Callable[..., bytes]:
    return model_bytes


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of 12 tensors of 1 to 12 KiB."""
    path = tmp_path / "net.onnx"
    path.write_bytes(
        model_bytes({f"layer{i}.weight": random_bytes(1024 * (i + 1), f"{i}") for i in range(12)})
    )
    return path
