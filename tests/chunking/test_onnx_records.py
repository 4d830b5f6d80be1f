"""What the walker finds is held against what the onnx package parses."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from trufor_onnx.chunking.framing import MAX_DEPTH, MAX_NAME_BYTES, Record, records
from trufor_onnx.chunking.sources import opened
from trufor_onnx.errors import ExternalDataError, FramingError

Make = Callable[..., bytes]


class Buffer:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read_at(self, offset: int, count: int) -> bytes:
        return self.data[offset : offset + count]


def walk(data: bytes, *, check_external: bool = True) -> list[Record]:
    found = list(records(Buffer(data), names=True, check_external=check_external))
    assert found[0].start == 0
    assert found[-1].end == len(data)
    assert all(before.end == after.start for before, after in pairwise(found))
    return found


def external(name: str = "far") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2])
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return tensor


def model_of(*nodes: onnx.NodeProto, initializers: list[TensorProto] | None = None) -> bytes:
    graph = helper.make_graph(list(nodes), "g", [], [], initializer=initializers or [])
    return helper.make_model(graph).SerializeToString()


def constant(tensor: TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["c"], value=tensor)


def nested(node: onnx.NodeProto, depth: int) -> onnx.NodeProto:
    for _ in range(depth):
        graph = helper.make_graph([node], "inner", [], [])
        node = helper.make_node("If", ["x"], ["y"], then_branch=graph)
    return node


def test_names_and_bounds_are_those_that_onnx_parses(make_model: Make, make_bytes: Make):
    data = make_model({f"layer{i}": make_bytes(100 * i + 1) for i in range(20)})
    tensors = [record for record in walk(data) if record.is_tensor]
    parsed = onnx.load_model_from_string(data).graph.initializer
    assert [record.name for record in tensors] == [tensor.name for tensor in parsed]
    for record, tensor in zip(tensors, parsed, strict=True):
        assert data[record.start : record.end].endswith(tensor.SerializeToString())


@given(
    st.dictionaries(st.text(max_size=20), st.lists(st.integers(1, 9), max_size=3), max_size=8),
    st.integers(0, 5),
    st.sampled_from([np.float32, np.float16, np.int64]),
)
def test_any_model_agrees_with_onnx(
    shapes: dict[str, list[int]], nodes: int, kind: type[np.generic]
):
    initializers = [
        numpy_helper.from_array(np.ones(shape, kind), name) for name, shape in shapes.items()
    ]
    made = [helper.make_node("Relu", [f"x{i}"], [f"x{i + 1}"], alpha=0.5) for i in range(nodes)]
    data = model_of(*made, initializers=initializers)
    found = walk(data)
    assert [record.name for record in found if record.is_tensor] == list(shapes)


def test_sparse_initializers_carry_the_name_of_their_values():
    sparse = onnx.SparseTensorProto(dims=[9])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(2, np.float32), "thin"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.arange(2)))
    graph = helper.make_graph([], "g", [], [], sparse_initializer=[sparse])
    data = helper.make_model(graph).SerializeToString()
    assert [record.name for record in walk(data) if record.is_tensor] == ["thin"]


def test_names_are_read_only_if_asked_for(make_model: Make):
    data = make_model({"w": b"x"})
    found = [record for record in records(Buffer(data)) if record.is_tensor]
    assert [record.name for record in found] == [""]


def test_odd_names(make_model: Make):
    data = make_model({"": b"a", "n" * 5000: b"b"})
    names = [record.name for record in walk(data) if record.is_tensor]
    assert names == ["", "n" * MAX_NAME_BYTES]
    names = [record.name for record in walk(data.replace(b"n", b"\xff")) if record.is_tensor]
    assert names == ["", "\\xff" * MAX_NAME_BYTES]


@pytest.mark.parametrize("data", [b"", b"hello", b"\x08\x08", bytes(100), b"\x3a\x00"])
def test_what_is_no_model(data: bytes):
    with pytest.raises(FramingError):
        walk(data)


def test_every_truncation_but_one_is_no_model(make_model: Make, make_bytes: Make):
    data = make_model({"a": make_bytes(50), "b": make_bytes(60)})
    end_of_graph = walk(data)[-1].start  # what follows is a field that a model may lack
    models = []
    for size in range(len(data)):
        with suppress(FramingError):
            walk(data[:size])
            models.append(size)
    assert models == [end_of_graph]


@pytest.mark.parametrize(
    "make",
    [
        lambda: model_of(initializers=[external()]),
        lambda: model_of(constant(external())),
        lambda: model_of(helper.make_node("X", [], [], values=[external()])),
        lambda: model_of(nested(constant(external()), 3)),
        lambda: helper.make_model(
            helper.make_graph([], "g", [], []),
            functions=[
                helper.make_function(
                    "d", "f", [], ["c"], [constant(external())], [helper.make_opsetid("", 17)]
                )
            ],
        ).SerializeToString(),
    ],
    ids=["initializer", "constant", "list", "subgraph", "function"],
)
def test_external_data_is_found_everywhere(make: Callable[[], bytes]):
    data = make()
    with pytest.raises(ExternalDataError, match="'far'") as caught:
        walk(data)
    assert "onnx.save" in caught.value.hint
    walk(data, check_external=False)


def test_external_data_in_sparse_and_training_parts():
    sparse = onnx.SparseTensorProto(dims=[9])
    sparse.values.CopyFrom(external())
    graph = helper.make_graph([], "g", [], [], sparse_initializer=[sparse])
    with pytest.raises(ExternalDataError):
        walk(helper.make_model(graph).SerializeToString())
    model = helper.make_model(helper.make_graph([], "g", [], []))
    training = model.training_info.add()
    training.algorithm.CopyFrom(helper.make_graph([], "a", [], [], initializer=[external()]))
    with pytest.raises(ExternalDataError):
        walk(model.SerializeToString())


def test_external_data_that_was_loaded_again_is_fine():
    tensor = external()
    tensor.data_location = TensorProto.DEFAULT
    walk(model_of(initializers=[tensor]))


def test_a_real_external_model_is_refused(tmp_path: Path):
    tensor = numpy_helper.from_array(np.zeros(2048, np.float32), "big")
    model = onnx.load_model_from_string(model_of(initializers=[tensor]))
    path = tmp_path / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, size_threshold=0)
    with opened(path) as source, pytest.raises(ExternalDataError, match="'big'"):
        list(records(source, check_external=True))


def test_deep_nesting_is_bounded():
    fine = nested(constant(external()), 8)
    with pytest.raises(ExternalDataError):
        walk(model_of(fine))
    data = b""
    for _ in range(MAX_DEPTH * 2):  # graph in attribute in node in graph ...
        for number in (6, 5, 1):
            length = len(data)
            size = b""
            while length > 0x7F:
                size += bytes([length & 0x7F | 0x80])
                length >>= 7
            data = bytes([number << 3 | 2]) + size + bytes([length]) + data
    wrapped = onnx.ModelProto(ir_version=8).SerializeToString()
    length = len(data)
    head = bytes([7 << 3 | 2, length & 0x7F | 0x80, length >> 7])
    assert length < 1 << 14
    with pytest.raises(FramingError, match="nested deeper"):
        walk(wrapped + head + data)


def test_a_model_given_in_two_parts_is_walked_as_protobuf_merges_it(make_model: Make):
    """A message field that stands twice is merged: both graphs count."""
    data = make_model({"a": b"1"}) + make_model({"b": b"2"})
    assert [tensor.name for tensor in onnx.load_model_from_string(data).graph.initializer] == [
        "a",
        "b",
    ]
    assert [record.name for record in walk(data) if record.is_tensor] == ["a", "b"]


@given(st.data())
def test_any_change_of_a_model_is_a_model_or_a_typed_error(data: st.DataObject):
    model = bytearray(
        model_of(constant(external()), initializers=[numpy_helper.from_array(np.ones(9), "w")])
    )
    for _ in range(data.draw(st.integers(1, 4))):
        model[data.draw(st.integers(0, len(model) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FramingError, ExternalDataError):
        walk(bytes(model))
