"""Weights enter a traced graph by name, all of them, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trufor_onnx.errors import CoverageError, ExportError
from trufor_onnx.export.graph.finish import attach
from trufor_onnx.export.graph.provenance import CHECKPOINT
from trufor_onnx.export.graph.trace import trace
from trufor_onnx.export.networks.spec import ModelSpec, TensorSpec
from trufor_onnx.export.weights.tensors import stand_in_weights

AXES = ("batch", 3, "height", "width")


class Plain(nn.Module):
    """Two equal convolutions, a table that is in no checkpoint, and a tensor nobody reads."""

    def __init__(self, *, unread: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.second = nn.Conv2d(3, 3, 1)
        self.register_buffer("table", torch.arange(3.0).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        if unread:
            self.forgotten = nn.Parameter(torch.zeros(5))

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.second(self.first(image)) * self.table
        return found


def spec_of(builder: str, **arguments: Any) -> ModelSpec:
    return ModelSpec(
        name="plain",
        title="",
        version="1",
        inputs=(TensorSpec("image", AXES, ""),),
        outputs=(TensorSpec("result", AXES, ""),),
        builder=f"{__name__}:{builder}",
        builder_arguments=arguments,
    )


def attached(spec: ModelSpec) -> Any:
    module = spec.build()
    weights = stand_in_weights(spec, module, "s")
    return *attach(trace(spec, module), spec, weights), weights


def test_weights_stand_under_their_names() -> None:
    model, provenance, weights = attached(spec_of("Plain"))
    assert [value.name for value in model.graph.inputs] == ["image"]
    for name in ("first.weight", "second.weight", "first.bias", "second.bias"):
        found = model.graph.initializers[name].const_value.numpy()
        assert found.tobytes() == weights.tensors[name].numpy().tobytes()
        assert provenance.origins[name].transform == CHECKPOINT
        assert provenance.origins[name].sources == (name,)
    assert "table" not in provenance.origins  # three numbers: a constant of the code


def test_equal_tensors_are_not_merged() -> None:
    """Fresh layers of equal content are one initializer to the tracer; here they are two."""
    spec = spec_of("Plain")
    module = spec.build()
    with torch.no_grad():
        module.second.weight.copy_(module.first.weight)
        module.second.bias.copy_(module.first.bias)
    weights = stand_in_weights(spec, module, "s")
    model, _ = attach(trace(spec, module), spec, weights)
    assert {"first.weight", "second.weight", "first.bias", "second.bias"} <= set(
        model.graph.initializers
    )


def test_a_tensor_that_the_network_does_not_read() -> None:
    with pytest.raises(CoverageError, match=r"1 tensors of the checkpoint .* graph: forgotten"):
        attached(spec_of("Plain", unread=True))
    model, _, _ = attached(replace(spec_of("Plain", unread=True), strict=False))
    assert "forgotten" not in model.graph.initializers


def test_a_tensor_that_the_network_does_not_name() -> None:
    spec = spec_of("Plain")
    module = spec.build()
    weights = stand_in_weights(spec, module, "s")
    graph = trace(spec, module)
    graph.graph.input[1].name = "anonymous"
    with pytest.raises(ExportError, match="the graph wants a tensor 'anonymous'"):
        attach(graph, spec, weights)
