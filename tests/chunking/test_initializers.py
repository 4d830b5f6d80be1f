"""Weights are inside the file, or in a file beside it by a plain name; both must be whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.chunking.conftest import outside
from trufor_onnx.chunking.initializers import read_contents
from trufor_onnx.errors import ExportError
from trufor_onnx.export.graph.provenance import array_digest


def initializer_digests(path: Path) -> dict[str, str]:
    """SHA-256 of the values of every initializer of an ONNX file's graph, by name."""
    return {name: tensor.sha256 for name, tensor in read_contents(path).initializers.items()}


def graph(name: str = "g", initializer: TensorProto | None = None) -> onnx.GraphProto:
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    node = helper.make_node("Identity", ["w"], ["y"])
    return helper.make_graph([node], name, [], [value], [initializer] if initializer else [])


def in_initializer() -> onnx.ModelProto:
    return helper.make_model(graph(initializer=outside("w")))


def in_constant() -> onnx.ModelProto:
    proto = helper.make_model(graph())
    node = helper.make_node("Constant", [], ["w"], value=outside("w"))
    proto.graph.node.insert(0, node)
    return proto


def in_subgraph() -> onnx.ModelProto:
    proto = helper.make_model(graph())
    branch = graph("branch", outside("w"))
    node = helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=graph("other"))
    proto.graph.node.append(node)
    return proto


def in_function() -> onnx.ModelProto:
    proto = helper.make_model(graph())
    node = helper.make_node("Constant", [], ["y"], value=outside("w"))
    opset = [helper.make_opsetid("", 17)]
    proto.functions.append(helper.make_function("own", "f", [], ["y"], [node], opset))
    return proto


def in_sparse() -> onnx.ModelProto:
    proto = helper.make_model(graph())
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    sparse = helper.make_sparse_tensor(outside("w"), indices, [4])
    proto.graph.sparse_initializer.append(sparse)
    return proto


PLACES = [in_initializer, in_constant, in_subgraph, in_function, in_sparse]


@pytest.mark.parametrize("place", PLACES)
def test_weights_in_other_files_are_refused_wherever_they_hide(
    tmp_path: Path, place: Callable[[], onnx.ModelProto]
) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(place().SerializeToString())
    with pytest.raises(ExportError, match="etc/passwd', which is no file of the same folder"):
        initializer_digests(path)


def test_digests_of_weights_beside_the_file_are_of_the_content_too(tmp_path: Path) -> None:
    array = np.arange(300, dtype=np.float32)
    tensor = onnx.numpy_helper.from_array(array, "w")
    inside, outside = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(helper.make_model(graph(initializer=tensor)), inside)
    given = {"save_as_external_data": True, "location": "any.bin", "size_threshold": 0}
    onnx.save(helper.make_model(graph(initializer=tensor)), outside, **given)
    assert initializer_digests(outside) == {"w": array_digest(array)}
    assert read_contents(outside).initializers == read_contents(inside).initializers
    assert read_contents(outside).graph == read_contents(inside).graph
    (tmp_path / "any.bin").write_bytes(array.tobytes()[:-4])
    with pytest.raises(ExportError, match=r"beyond the end of any\.bin"):
        initializer_digests(outside)


def test_a_length_that_is_not_the_shape_s_is_an_error(tmp_path: Path) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "any.bin"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    (tmp_path / "any.bin").write_bytes(bytes(64))
    path = tmp_path / "x.onnx"
    path.write_bytes(helper.make_model(graph(initializer=tensor)).SerializeToString())
    with pytest.raises(ExportError, match=r"has 12 bytes for \[4\]"):
        initializer_digests(path)


def test_digests_are_of_the_content(tmp_path: Path) -> None:
    array = np.arange(4, dtype=np.float32)
    tensor = onnx.numpy_helper.from_array(array, "w")
    path = tmp_path / "x.onnx"
    onnx.save(helper.make_model(graph(initializer=tensor)), path)
    assert initializer_digests(path) == {"w": array_digest(array)}


def test_a_truncated_file_never_has_the_digests_of_the_whole(
    make_model: Callable[..., bytes], make_bytes: Callable[..., bytes], tmp_path: Path
) -> None:
    weights = {f"{layer}.weight": make_bytes(1000, layer) for layer in "abcde"}
    whole = make_model(weights)
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole)
    right = initializer_digests(path)
    assert right.keys() == weights.keys()
    weights_end = max(whole.index(raw) + len(raw) for raw in weights.values())
    refused = 0
    for length in range(0, weights_end, 37):
        path.write_bytes(whole[:length])
        try:
            assert initializer_digests(path) != right
        except ExportError as error:
            refused += 1
            assert "not a readable ONNX file" in error.problem
    assert refused > 0


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"not an onnx file at all", b"\x08\x07"])
def test_what_is_no_onnx_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(ExportError, match="not a readable ONNX file"):
        initializer_digests(path)


def test_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="not a readable ONNX file"):
        initializer_digests(tmp_path)


def test_every_way_to_store_values_has_the_digest_of_the_values(tmp_path: Path) -> None:
    """In the field of their kind or raw, packed as ``onnx.helper`` does: the same numbers."""
    kinds = {
        TensorProto.FLOAT: np.array([1.5, -2.25], np.float32),
        TensorProto.DOUBLE: np.array([1.5, -1e300]),
        TensorProto.FLOAT16: np.array([1.5, -2.25], np.float16),
        TensorProto.INT64: np.array([-1, 2**40]),
        TensorProto.INT32: np.array([-1, 7], np.int32),
        TensorProto.INT16: np.array([-300, 7], np.int16),
        TensorProto.INT8: np.array([-3, 7], np.int8),
        TensorProto.UINT8: np.array([200, 7], np.uint8),
        TensorProto.UINT32: np.array([2**31, 7], np.uint32),
        TensorProto.UINT64: np.array([2**63, 7], np.uint64),
        TensorProto.BOOL: np.array([True, False]),
        TensorProto.COMPLEX64: np.array([1 + 2j, -3.5j], np.complex64),
    }
    path = tmp_path / "x.onnx"
    for kind, array in kinds.items():
        fields = helper.make_tensor("w", kind, [2], array)
        assert not fields.HasField("raw_data")
        for tensor in (fields, onnx.numpy_helper.from_array(array, "w")):
            onnx.save(helper.make_model(graph(initializer=tensor)), path)
            found = initializer_digests(path)
            assert found == {"w": array_digest(onnx.numpy_helper.to_array(tensor))}, kind
            assert found == {"w": array_digest(array)}, kind


def test_values_that_do_not_fill_their_shape_are_an_error(tmp_path: Path) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], float_data=[1.0, 2.0])
    path = tmp_path / "x.onnx"
    path.write_bytes(helper.make_model(graph(initializer=tensor)).SerializeToString())
    with pytest.raises(ExportError, match=r"has 2 values for \[3\]"):
        initializer_digests(path)


def test_a_name_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    """Which of the two would run is the backend's guess; a digest by name could be of either."""
    proto = helper.make_model(graph(initializer=onnx.numpy_helper.from_array(np.ones(4), "w")))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(4), "w"))
    path = tmp_path / "x.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ExportError, match="two initializers are called 'w'"):
        initializer_digests(path)


def test_onnx_itself_is_not_needed() -> None:
    import subprocess
    import sys

    heavy = "{'onnx', 'google', 'torch'}"
    code = f"import sys, trufor_onnx.chunking.initializers; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
