"""Weights enter by name, byte for byte; the finished file says what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from trufor_onnx.errors import CoverageError, ExportError
from trufor_onnx.export.build import Built
from trufor_onnx.export.graph.finish import attach, to_checked_proto, toolchain
from trufor_onnx.export.graph.provenance import CHECKPOINT
from trufor_onnx.export.graph.trace import trace
from trufor_onnx.export.lock import METADATA_KEY
from trufor_onnx.export.networks.spec import ModelSpec, TensorSpec
from trufor_onnx.export.weights.tensors import stand_in_weights

Build = Callable[..., Built]
AXES = ("batch", 3, "height", "width")


@pytest.fixture(params=["noiseprint_pp", "trufor"])
def proto_and_lock(request: pytest.FixtureRequest, built: Build) -> tuple[Any, dict[str, Any]]:
    found = built(request.param)
    return onnx.load_model_from_string(found.data), found.document


def test_metadata(proto_and_lock: tuple[Any, dict[str, Any]]) -> None:
    proto, lock = proto_and_lock
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    inside = json.loads(metadata[METADATA_KEY])
    assert {**inside, "file": lock["file"]} == lock
    assert metadata["trufor_onnx.model"] == lock["model"]
    assert metadata["trufor_onnx.network_version"] == "1"
    assert metadata["trufor_onnx.weights"] == "stand-in weights (seed s)"
    assert metadata["trufor_onnx.weights_digest"] == lock["weights"]["digest"]
    preprocessing = json.loads(metadata["trufor_onnx.preprocessing"])
    assert preprocessing["scale"] == 256.0
    assert preprocessing["channels"] == "RGB"
    assert proto.producer_name == "trufor-onnx"


def test_the_lock_says_everything(proto_and_lock: tuple[Any, dict[str, Any]]) -> None:
    _, lock = proto_and_lock
    assert lock["toolchain"] == toolchain()
    assert set(lock["toolchain"]) == {"torch", "onnx", "onnx-ir", "onnxsim", "numpy"}
    assert lock["opset"] == 17
    assert lock["variant"] == "portable"
    assert lock["weights"]["coverage"]["tensors_set"] == lock["weights"]["coverage"]["tensors"]
    assert all(name.endswith("num_batches_tracked") for name in lock["unused_tensors"])
    assert lock["transforms"]["fold_batchnorm"] > 0


def test_every_initializer_with_its_digest(proto_and_lock: tuple[Any, dict[str, Any]]) -> None:
    proto, lock = proto_and_lock
    found = {
        tensor.name: sha256(onnx.numpy_helper.to_array(tensor).tobytes()).hexdigest()
        for tensor in proto.graph.initializer
    }
    assert found == {entry["name"]: entry["sha256"] for entry in lock["initializers"]}
    for entry in lock["initializers"]:
        assert entry["sources"] or (
            entry["transform"] == "constant" and np.prod(entry["shape"], dtype=int) <= 64
        )


def test_named_axes(tiny: dict[str, ModelSpec], built: Build) -> None:
    for name in ("noiseprint_pp", "trufor_head"):
        proto = onnx.load_model_from_string(built(name).data)
        values = {v.name: v for v in (*proto.graph.input, *proto.graph.output)}
        tensors = (*tiny[name].inputs, *tiny[name].outputs)
        assert list(values) == [tensor.name for tensor in tensors]
        for tensor in tensors:
            dims = values[tensor.name].type.tensor_type.shape.dim
            assert tuple(d.dim_param or d.dim_value for d in dims) == tensor.axes
            assert values[tensor.name].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_no_trace_of_the_machine(built: Build, tmp_path: Any) -> None:
    for name in ("noiseprint_pp", "trufor"):
        proto = onnx.load_model_from_string(built(name).data)
        for tensor in proto.graph.initializer:  # random bytes may spell anything
            tensor.ClearField("raw_data")
        text = proto.SerializeToString()
        for mark in (b".py", b"/work", b"/home", b"/tmp", b"site-packages", b"Traceback", b"File "):
            assert mark not in text
        assert not proto.doc_string
        assert not proto.graph.doc_string
        assert not proto.graph.value_info
        assert not any(n.doc_string or n.metadata_props for n in proto.graph.node)
        assert str(tmp_path).encode() not in text


def broken(text: str) -> Any:
    return ir.from_proto(
        onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]> ' + text)
    )


@pytest.mark.parametrize(
    "text",
    [
        "g (float[B,3,H,W] image) => (float[B,1,H,W] noiseprint) { noiseprint = Mystery (image) }",
        "g (float[B,3,H,W] image) => (float[B,1,H,W] noiseprint) { noiseprint = Relu (absent) }",
        "g (float[B,3,H,W] image) => (int64[B,1,H,W] noiseprint) { noiseprint = Relu (image) }",
    ],
    ids=["unknown operator", "unknown value", "another type"],
)
def test_invalid_onnx(text: str, tiny: dict[str, ModelSpec], built: Build) -> None:
    document = built("noiseprint_pp").document
    with pytest.raises(ExportError, match="the graph is not valid ONNX"):
        to_checked_proto(broken(text), tiny["noiseprint_pp"], document)


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
