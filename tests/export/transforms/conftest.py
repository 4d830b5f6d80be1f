"""Graphs of a few lines of ONNX text, and their function in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from export.provenance import CHECKPOINT, Origin, Provenance

HEADER = '<ir_version: 8, opset_import: ["" : 17]>\ng '
Arrays = dict[str, npt.NDArray[Any]]


def make(text: str, weights: Arrays, *, known: bool = True) -> tuple[ir.Model, Provenance]:
    """A graph whose inputs named in ``weights`` are initializers of the checkpoint."""
    model = ir.from_proto(onnx.parser.parse_model(HEADER + text))
    provenance = Provenance()
    for value in list(model.graph.inputs):
        if value.name in weights:
            model.graph.inputs.remove(value)
            value.const_value = ir.Tensor(weights[value.name], name=value.name)
            model.graph.register_initializer(value)
            if known:
                provenance.origins[value.name] = Origin(CHECKPOINT, (value.name,))
    return model, provenance


def in_float64(model: ir.Model, **feeds: npt.NDArray[Any]) -> list[npt.NDArray[np.float64]]:
    """The graph's outputs, every weight and every operation in float64."""
    proto = ir.to_proto(model)
    for tensor in proto.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float64), name))
    evaluator = ReferenceEvaluator(proto)
    doubles = {name: array.astype(np.float64) for name, array in feeds.items()}
    found: list[npt.NDArray[np.float64]] = evaluator.run(None, doubles)
    assert all(array.dtype == np.float64 for array in found)
    return found


@pytest.fixture(name="make", scope="session")
def make_fixture() -> Callable[..., tuple[ir.Model, Provenance]]:
    return make


@pytest.fixture(name="in_float64", scope="session")
def in_float64_fixture() -> Callable[..., list[npt.NDArray[np.float64]]]:
    return in_float64


@pytest.fixture
def draw() -> Callable[..., npt.NDArray[np.float32]]:
    """float32 in [-1, 1), the same in every run: ``draw(2, 3)``."""
    generator = np.random.default_rng(5)
    return lambda *shape: generator.uniform(-1, 1, shape).astype(np.float32)
