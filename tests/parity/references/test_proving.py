"""A lock is a text file: whatever it says, only what is derived again is proven."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from trufor_onnx.chunking.initializers import read_contents
from trufor_onnx.export.lock import file_entry, lock_path
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.references import proving
from trufor_onnx.parity.references.identity import Identity, identify
from trufor_onnx.parity.references.networks import known_weights
from trufor_onnx.parity.references.proving import Rebuilder, builder, what
from trufor_onnx.parity.references.store import ReferenceCache
from trufor_onnx.parity.results.rows import AS_LOCKED, PROVEN, REFUTED

Change = Callable[[onnx.ModelProto], None]
GOLDEN = WeightsSource(stand_in="golden")


@pytest.fixture
def spec(tiny: dict[str, ModelSpec]) -> ModelSpec:
    return tiny["tiny_np"]


@pytest.fixture
def file(exported: Callable[[str], Path]) -> Path:
    return exported("tiny_np")


def judged(file: Path, spec: ModelSpec, store: ReferenceCache | None = None) -> Identity:
    return identify(file, spec, known_weights(spec, GOLDEN, None), prover=Rebuilder(store))


def forge(file: Path, change: Change, **lock: Any) -> None:
    """Change the file, and make its lock fit as who covers a change would; origins are kept."""
    proto = onnx.load(file)
    change(proto)
    onnx.save(proto, file)
    document = json.loads(lock_path(file).read_text())
    entries = {entry["name"]: entry for entry in document["initializers"]}
    renamed: dict[str, str] = lock.pop("renamed", {})
    document["initializers"] = [
        {**entries[renamed.get(name, name)], "name": name, "sha256": tensor.sha256}
        for name, tensor in sorted(read_contents(file).initializers.items())
    ]
    document["file"] = file_entry(file)
    lock_path(file).write_text(json.dumps(document | lock))


def folded(file: Path, rank: int) -> str:
    """The name of an initializer that is derived from several tensors, by its rank."""
    proto = onnx.load(file)
    lock = json.loads(lock_path(file).read_text())
    derived = {e["name"] for e in lock["initializers"] if "fold" in e["transform"]}
    return next(
        t.name for t in proto.graph.initializer if t.name in derived and len(t.dims) == rank
    )


def scaled(name: str, by: float = 1.01) -> Change:
    def change(proto: onnx.ModelProto) -> None:
        for tensor in proto.graph.initializer:
            if tensor.name == name:
                array = numpy_helper.to_array(tensor).copy()
                array.reshape(-1)[0] = array.reshape(-1)[0] * np.float32(by)
                tensor.raw_data = array.tobytes()

    return change


def with_constant_branch(proto: onnx.ModelProto) -> None:
    """Add a constant to the output, its weights in nodes that no list of initializers has."""
    output = proto.graph.output[0].name
    last = next(node for node in proto.graph.node if output in node.output)
    last.output[0] = "before"
    value = helper.make_tensor("c", TensorProto.FLOAT, [], [0.1])
    proto.graph.node.append(helper.make_node("Constant", [], ["constant"], value=value))
    proto.graph.node.append(helper.make_node("Add", ["before", "constant"], [output]))


def without_initializers(proto: onnx.ModelProto) -> None:
    for tensor in reversed(list(proto.graph.initializer)):
        node = helper.make_node("Constant", [], [tensor.name], value=tensor)
        proto.graph.node.insert(0, node)
    del proto.graph.initializer[:]


def another_operator(proto: onnx.ModelProto) -> None:
    next(node for node in proto.graph.node if node.op_type == "Relu").op_type = "LeakyRelu"


def another_opset(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 16


OLDER = {"torch": "2.1.0", "onnx": "1.14.0", "onnx-ir": "0.1", "onnxsim": "0.4", "numpy": "1.26"}


def test_an_export_has_the_bytes_of_its_rebuild(file: Path, spec: ModelSpec) -> None:
    found = judged(file, spec)
    assert (found.proof, found.how) == (PROVEN, "rebuilt here: the same bytes")


@pytest.mark.parametrize("rank", [1, 4])
@pytest.mark.parametrize("lock", [{}, {"toolchain": OLDER}])
def test_a_changed_derived_weight_is_named(
    file: Path, spec: ModelSpec, rank: int, lock: dict[str, Any]
) -> None:
    name = folded(file, rank)
    forge(file, scaled(name), **lock)
    found = judged(file, spec)
    assert found.proof == REFUTED
    assert f"initializers that are not what stand-in weights (seed golden) gives: {name}" in (
        found.reason
    )


def test_a_changed_weight_under_another_name_is_named(file: Path, spec: ModelSpec) -> None:
    name = folded(file, 4)

    def change(proto: onnx.ModelProto) -> None:
        scaled(name)(proto)
        for tensor in proto.graph.initializer:
            tensor.name = "onnx::Conv_77" if tensor.name == name else tensor.name
        for node in proto.graph.node:
            for index, given in enumerate(node.input):
                node.input[index] = "onnx::Conv_77" if given == name else given

    forge(file, change, renamed={"onnx::Conv_77": name}, toolchain=OLDER)
    found = judged(file, spec)
    assert (found.proof, "onnx::Conv_77" in found.reason) == (REFUTED, True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_constant_branch, "its graph is not the one that export makes of these weights"),
        (another_operator, "LeakyRelu ->"),
        (another_opset, "field 8 of the model"),
        (without_initializers, "initializers that are not what"),
    ],
)
def test_another_graph_of_the_same_weights_is_refuted(
    file: Path, spec: ModelSpec, change: Change, reason: str
) -> None:
    forge(file, change)
    found = judged(file, spec)
    assert found.proof == REFUTED
    assert reason in found.reason


@pytest.mark.parametrize("change", [with_constant_branch, another_operator, without_initializers])
def test_a_graph_of_another_toolchain_is_never_proven(
    file: Path, spec: ModelSpec, change: Change
) -> None:
    """Whoever forges a lock can name any versions in it."""
    forge(file, change, toolchain=OLDER)
    found = judged(file, spec)
    assert found.proof == AS_LOCKED
    assert "its graph was made by another toolchain: numpy 1.26 (here " in found.reason


def test_another_shape_of_the_same_bytes_is_refuted(file: Path, spec: ModelSpec) -> None:
    name = folded(file, 4)

    def change(proto: onnx.ModelProto) -> None:
        tensor = next(t for t in proto.graph.initializer if t.name == name)
        tensor.dims[:] = [*tensor.dims[:2], 1, tensor.dims[2] * tensor.dims[3]]

    forge(file, change)
    assert name in judged(file, spec).reason


@pytest.mark.parametrize("lock", [{"variant": "none"}, {"opset": 3}, {"variant": "int8"}])
def test_what_cannot_be_made_again_is_not_proven(
    file: Path, spec: ModelSpec, lock: dict[str, Any]
) -> None:
    forge(file, another_operator, **lock)
    found = judged(file, spec)
    assert found.proof == AS_LOCKED
    assert "it cannot be made again here" in found.reason


def test_metadata_decide_nothing(file: Path, spec: ModelSpec) -> None:
    def change(proto: onnx.ModelProto) -> None:
        proto.doc_string = "a text"
        proto.producer_name = "another"
        helper.set_model_props(proto, {"a": "b"})
        proto.graph.node[0].doc_string = "a text"

    forge(file, change)
    found = judged(file, spec)
    assert (found.proof, found.how) == (PROVEN, "rebuilt here: the same weights and graph")


def test_without_anything_to_derive_it_from_it_is_as_its_lock_says(
    file: Path, spec: ModelSpec
) -> None:
    found = identify(file, spec, known_weights(spec, GOLDEN, None))
    assert (found.proof, found.how) == (AS_LOCKED, "")


def test_a_rebuild_is_kept_and_held_to_its_digest(
    file: Path, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ReferenceCache(tmp_path / "cache", limit=1 << 30)
    assert judged(file, spec, store).proof == PROVEN
    made: list[str] = []
    rebuild = proving.rebuild

    def again(*given: Any) -> Any:
        made.append("again")
        return rebuild(*given)

    monkeypatch.setattr("trufor_onnx.parity.references.proving.rebuild", again)
    found = judged(file, spec, store)
    assert (found.proof, found.how, made) == (PROVEN, "rebuilt here: the same bytes", [])
    (entry,) = (tmp_path / "cache").glob("*/*.ref")
    data = bytearray(entry.read_bytes())
    data[len(data) // 2] ^= 1
    entry.write_bytes(data)
    assert (judged(file, spec, store).proof, made) == (PROVEN, ["again"])


def test_what_decides_a_rebuild_is_in_its_key(spec: ModelSpec) -> None:
    weights = known_weights(spec, GOLDEN, None)
    other = known_weights(spec, WeightsSource(stand_in="other"), None)
    keys = [
        what(spec, weights, "portable", 17),
        what(spec, other, "portable", 17),
        what(spec, weights, "plain", 17),
        what(spec, weights, "portable", 18),
        what(replace(spec, trace_size=(32, 32)), weights, "portable", 17),
    ]
    assert len({json.dumps(key) for key in keys}) == len(keys)
    assert {"torch", "exporter", "toolchain"} <= builder(spec).keys()


def test_weights_in_a_file_beside_it_are_proven_and_digested(file: Path, spec: ModelSpec) -> None:
    def outside(proto: onnx.ModelProto) -> None:
        convert = onnx.external_data_helper.convert_model_to_external_data
        convert(proto, location="weights.bin", size_threshold=0)

    forge(file, outside)
    found = judged(file, spec)
    assert (found.proof, found.how) == (PROVEN, "rebuilt here: the same weights and graph")
    assert [entry["name"] for entry in found.file["external"]] == ["weights.bin"]
    data = file.with_name("weights.bin")
    changed = bytearray(data.read_bytes())
    changed[3] ^= 0x10
    data.write_bytes(changed)
    found = judged(file, spec)
    assert found.proof == REFUTED
    assert "the file is not the one that its lock describes; initializers that differ" in (
        found.reason
    )
