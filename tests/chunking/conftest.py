"""Files to cut: random bytes, small ONNX models, and the maker of full-size ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import onnx
import pytest
from onnx import TensorProto, helper


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


def retrained(model: bytes, more: str = "") -> bytes:
    """Other values in every tensor, and a little more metadata."""
    found = onnx.load_from_string(model)
    for tensor in found.graph.initializer:
        tensor.raw_data = tensor.raw_data[::-1]
    if more:
        found.producer_name = more
    return found.SerializeToString()


def outside(name: str = "far") -> TensorProto:
    """A tensor that says its content is in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return tensor


class Buffer:
    """Bytes that count how many of them were read."""

    def __init__(self, data: bytes, size: int | None = None) -> None:
        self.data = data
        self.size = len(data) if size is None else size
        self.read = 0

    def read_at(self, offset: int, count: int) -> bytes:
        part = self.data[offset : offset + count]
        self.read += len(part)
        return part


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """`benchmarks/synthetic_onnx.py`, which writes a full-size model."""
    from benchmarks import synthetic_onnx

    return synthetic_onnx


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
