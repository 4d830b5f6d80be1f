"""A file's weights are proven by digests, or the report names what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from trufor_onnx.errors import ExportError
from trufor_onnx.export.lock import lock_path
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.references.identity import Identity, identify
from trufor_onnx.parity.references.networks import KnownWeights, known_weights
from trufor_onnx.parity.references.proving import Rebuilder
from trufor_onnx.parity.results.rows import PROVEN, REFUTED, UNPROVEN

ExportedFile = Callable[[str], Path]


def weights_of(spec: ModelSpec, seed: str = "golden") -> KnownWeights:
    return known_weights(spec, WeightsSource(stand_in=seed), None)


@pytest.fixture
def spec(tiny: dict[str, ModelSpec]) -> ModelSpec:
    return tiny["tiny_np"]


@pytest.fixture
def file(exported: ExportedFile) -> Path:
    return exported("tiny_np")


@pytest.fixture
def judged(spec: ModelSpec, file: Path) -> Callable[[], Identity]:
    return lambda: identify(file, spec, weights_of(spec), prover=Rebuilder())


def change_lock(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = lock_path(file)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def relock(file: Path) -> None:
    """Write the file's new digest into its lock, as somebody who covers a change would."""
    from trufor_onnx.export.lock import file_entry

    change_lock(file, lambda document: document.update(file=file_entry(file)))


def test_an_export_is_proven(judged: Callable[[], Identity], file: Path) -> None:
    found = judged()
    assert (found.proof, found.reason, found.variant) == (PROVEN, "", "portable")
    lock = json.loads(lock_path(file).read_text())
    assert found.document()["toolchain"] == lock["toolchain"] != {}
    assert found.document()["file"]["name"] == file.name
    assert found.document()["file_weights"]["label"] == "stand-in weights (seed golden)"
    assert found.opset == 17


def test_a_file_without_a_lock_is_unproven(judged: Callable[[], Identity], file: Path) -> None:
    lock_path(file).unlink()
    found = judged()
    assert (found.proof, found.variant) == (UNPROVEN, "candidate")
    assert "tiny_np.lock.json is not there" in found.reason


def test_other_weights_are_named(spec: ModelSpec, file: Path) -> None:
    found = identify(file, spec, weights_of(spec, "another"))
    assert found.proof == REFUTED
    assert "it holds stand-in weights (seed golden)" in found.reason
    assert "runs with stand-in weights (seed another)" in found.reason
    assert "python -m export tiny_np" in found.reason


@pytest.mark.parametrize("change", [{"name": "other_net"}, {"version": "2"}])
def test_another_network_s_file_is_named(
    spec: ModelSpec, file: Path, change: dict[str, str]
) -> None:
    found = identify(file, replace(spec, **change), weights_of(spec))
    assert found.proof == REFUTED
    assert "its lock is of tiny_np version 1" in found.reason


def test_a_changed_initializer_is_named(judged: Callable[[], Identity], file: Path) -> None:
    proto = onnx.load(file)
    tensor = proto.graph.initializer[0]
    tensor.raw_data = (np.frombuffer(tensor.raw_data, np.float32) * 1.001).tobytes()
    onnx.save(proto, file)
    found = judged()
    assert found.proof == REFUTED
    assert "not the one that its lock describes" in found.reason
    assert tensor.name in found.reason
    relock(file)
    assert judged().reason.startswith(f"initializers that are not those of its lock: {tensor.name}")


def test_two_initializers_that_were_swapped_are_named(
    judged: Callable[[], Identity], file: Path
) -> None:
    proto = onnx.load(file)
    alike = [t for t in proto.graph.initializer if len(t.dims) == 1 and t.dims[0] == 4]
    first, second = alike[:2]
    first.raw_data, second.raw_data = second.raw_data, first.raw_data
    onnx.save(proto, file)
    relock(file)
    found = judged()
    assert found.proof == REFUTED
    assert first.name in found.reason and second.name in found.reason


def test_a_weight_that_moved_out_of_the_initializers_is_named(
    judged: Callable[[], Identity], file: Path
) -> None:
    proto = onnx.load(file)
    tensor = onnx.TensorProto()
    tensor.CopyFrom(proto.graph.initializer[0])
    del proto.graph.initializer[0]
    node = onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
    proto.graph.node.insert(0, node)
    onnx.save(proto, file)
    relock(file)
    found = judged()
    assert found.proof == REFUTED
    assert tensor.name in found.reason


def test_a_changed_graph_with_the_same_weights_is_refuted(
    judged: Callable[[], Identity], file: Path
) -> None:
    proto = onnx.load(file)
    proto.graph.doc_string = "a change that no initializer shows"
    onnx.save(proto, file)
    found = judged()
    assert found.proof == REFUTED
    assert "all weights the same" in found.reason


def test_a_lock_that_calls_other_values_copies_is_found_out(
    judged: Callable[[], Identity], file: Path
) -> None:
    """File and lock agree and the lock names the right checkpoint: only its tensors tell."""
    proto = onnx.load(file)
    copies = {}
    change_lock(
        file,
        lambda document: copies.update(
            {e["name"]: e for e in document["initializers"] if e["transform"] == "checkpoint"}
        ),
    )
    tensor = next(t for t in proto.graph.initializer if t.name in copies)
    tensor.raw_data = bytes(len(tensor.raw_data))
    onnx.save(proto, file)
    from trufor_onnx.chunking.initializers import read_contents

    digest = read_contents(file).initializers[tensor.name].sha256

    def follow(document: dict[str, Any]) -> None:
        for entry in document["initializers"]:
            if entry["name"] == tensor.name:
                entry["sha256"] = digest

    change_lock(file, follow)
    relock(file)
    found = judged()
    assert found.proof == REFUTED
    assert found.reason.startswith(
        f"initializers that are not the checkpoint's tensors: {tensor.name}"
    )


def test_long_lists_are_cut(judged: Callable[[], Identity], file: Path) -> None:
    def rename(document: dict[str, Any]) -> None:
        for number, entry in enumerate(document["initializers"]):
            entry["name"] = f"renamed_{number}"

    change_lock(file, rename)
    found = judged()
    assert found.proof == REFUTED
    assert " more" in found.reason


@pytest.mark.parametrize("key", ["model", "weights", "initializers", "file", "network_version"])
def test_a_lock_that_is_none_is_an_error(
    judged: Callable[[], Identity], file: Path, key: str
) -> None:
    change_lock(file, lambda document: document.pop(key))
    with pytest.raises(ExportError, match="not a lock file"):
        judged()


@pytest.mark.parametrize("value", [None, 3, [1], {"digest": 1}, [{"name": "x"}]])
@pytest.mark.parametrize("key", ["weights", "initializers", "file"])
def test_a_hostile_lock_is_never_proof(
    judged: Callable[[], Identity], file: Path, key: str, value: object
) -> None:
    change_lock(file, lambda document: document.update({key: value}))
    try:
        found = judged()
    except ExportError as error:
        assert error.hint
    else:
        assert found.proof == REFUTED


def test_a_missing_file_is_an_error(spec: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be read"):
        identify(tmp_path / "none.onnx", spec, weights_of(spec))
