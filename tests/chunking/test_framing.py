"""What the walker finds is held against what the onnx package parses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.chunking.conftest import Buffer, outside
from trufor_onnx.chunking.folders import opened
from trufor_onnx.chunking.framing import (
    BYTES,
    FIXED32,
    FIXED64,
    MAX_DEPTH,
    MAX_NAME_BYTES,
    VARINT,
    Field,
    Record,
    Walker,
    records,
)
from trufor_onnx.errors import ExternalDataError, FramingError

Make = Callable[..., bytes]


def varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def key(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


def message(number: int, content: bytes) -> bytes:
    return key(number, BYTES) + varint(len(content)) + content


def fields(data: bytes, **options: int) -> list[Field]:
    return list(Walker(Buffer(data), **options).fields(0, len(data)))


def test_each_kind_of_field():
    data = (
        key(1, VARINT)
        + varint(300)
        + key(2, FIXED64)
        + bytes(8)
        + key(3, FIXED32)
        + bytes(4)
        + message(400, b"content")
    )
    found = fields(data)
    assert [(field.number, field.wire, field.value) for field in found] == [
        (1, VARINT, 300),
        (2, FIXED64, 0),
        (3, FIXED32, 0),
        (400, BYTES, 0),
    ]
    assert [field.start for field in found[1:]] == [field.end for field in found[:-1]]
    assert found[-1].end == len(data)
    assert data[found[-1].body : found[-1].end] == b"content"


def test_empty_message_has_no_fields():
    assert fields(b"") == []


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (key(0, VARINT) + b"\0", "field number 0"),
        (varint((1 << 29) << 3) + b"\0", "field number"),
        (key(1, 3), "wire type 3"),
        (key(1, 4), "wire type 4"),
        (key(1, 6) + b"\0", "wire type 6"),
        (key(1, 7) + b"\0", "wire type 7"),
        (key(1, VARINT), "cut off"),
        (key(1, VARINT) + b"\x80", "cut off"),
        (key(1, VARINT) + b"\x80" * 10 + b"\0", "overlong"),
        (b"\xff" * 9, "cut off"),
        (key(1, BYTES), "cut off"),
        (key(1, BYTES) + varint(1), "beyond"),
        (key(1, BYTES) + varint((1 << 64) - 1), "beyond"),
        (key(1, BYTES) + varint((1 << 70) - 1)[:10], "beyond"),
        (key(1, FIXED64) + bytes(7), "beyond"),
        (key(1, FIXED32) + bytes(3), "beyond"),
    ],
)
def test_wrong_framing(data: bytes, fault: str):
    with pytest.raises(FramingError, match=fault):
        fields(data)


def test_number_that_is_not_as_short_as_it_could_be():
    (field,) = fields(key(1, VARINT) + b"\x81\x80\x00")
    assert field.value == 1


def test_a_number_does_not_reach_beyond_its_message():
    data = key(1, VARINT) + b"\x80\x01"
    with pytest.raises(FramingError, match="cut off"):
        list(Walker(Buffer(data)).fields(0, 2))


def test_number_of_fields_is_bounded_over_all_messages():
    data = (key(1, VARINT) + b"\0") * 6
    assert len(fields(data, max_fields=6)) == 6
    with pytest.raises(FramingError, match="too many"):
        fields(data, max_fields=5)
    walker = Walker(Buffer(data), max_fields=10)
    assert len(list(walker.fields(0, len(data)))) == 6
    with pytest.raises(FramingError, match="too many"):
        list(walker.fields(0, len(data)))


def test_content_is_stepped_over():
    data = b"".join(message(5, bytes(10 << 20)) for _ in range(4))
    source = Buffer(data)
    assert len(list(Walker(source).fields(0, len(data)))) == 4
    assert source.read < 200_000


def test_content_is_read_up_to_a_limit():
    source = Buffer(message(8, b"name" * 100))
    walker = Walker(source)
    (field,) = walker.fields(0, source.size)
    assert walker.content(field, 6) == b"namena"
    assert walker.content(field, 1 << 30) == b"name" * 100


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, list[tuple[int, int, int]]]:
    """A message, and the number, wire type and end of each of its fields."""
    data, expected = b"", []
    for _ in range(draw(st.integers(0, 12))):
        number = draw(st.integers(1, (1 << 29) - 1))
        wire = draw(st.sampled_from([VARINT, FIXED64, FIXED32, BYTES]))
        content = {
            VARINT: varint(draw(st.integers(0, (1 << 64) - 1))),
            FIXED64: bytes(8),
            FIXED32: bytes(4),
            BYTES: message(1, bytes(draw(st.integers(0, 20_000))))[1:],
        }[wire]
        data += key(number, wire) + content
        expected.append((number, wire, len(data)))
    return data, expected


@given(messages())
def test_any_right_message_is_followed(made: tuple[bytes, list[tuple[int, int, int]]]):
    data, expected = made
    assert [(field.number, field.wire, field.end) for field in fields(data)] == expected


@given(messages(), st.data())
def test_any_truncated_message_is_refused(
    made: tuple[bytes, list[tuple[int, int, int]]], data: st.DataObject
):
    whole, expected = made
    ends = {0, *(end for _, _, end in expected)}
    cut = data.draw(st.integers(0, len(whole)).filter(lambda size: size not in ends or not whole))
    if whole:
        with pytest.raises(FramingError):
            fields(whole[:cut])


@given(st.binary(max_size=300))
def test_any_bytes_are_fields_that_cover_them_or_a_typed_error(data: bytes):
    walked: Iterator[Field] = Walker(Buffer(data)).fields(0, len(data))
    position = 0
    try:
        for field in walked:
            assert field.start == position < field.body <= field.end <= len(data) or (
                field.wire != BYTES and field.start == position < field.end <= len(data)
            )
            position = field.end
    except FramingError:
        return
    assert position == len(data)


def walk(data: bytes, *, check_external: bool = True) -> list[Record]:
    found = list(records(Buffer(data), names=True, check_external=check_external))
    assert found[0].start == 0
    assert found[-1].end == len(data)
    assert all(before.end == after.start for before, after in pairwise(found))
    return found


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
        lambda: model_of(initializers=[outside()]),
        lambda: model_of(constant(outside())),
        lambda: model_of(helper.make_node("X", [], [], values=[outside()])),
        lambda: model_of(nested(constant(outside()), 3)),
        lambda: helper.make_model(
            helper.make_graph([], "g", [], []),
            functions=[
                helper.make_function(
                    "d", "f", [], ["c"], [constant(outside())], [helper.make_opsetid("", 17)]
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
    sparse.values.CopyFrom(outside())
    graph = helper.make_graph([], "g", [], [], sparse_initializer=[sparse])
    with pytest.raises(ExternalDataError):
        walk(helper.make_model(graph).SerializeToString())
    model = helper.make_model(helper.make_graph([], "g", [], []))
    training = model.training_info.add()
    training.algorithm.CopyFrom(helper.make_graph([], "a", [], [], initializer=[outside()]))
    with pytest.raises(ExternalDataError):
        walk(model.SerializeToString())


def test_external_data_that_was_loaded_again_is_fine():
    tensor = outside()
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
    fine = nested(constant(outside()), 8)
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
        model_of(constant(outside()), initializers=[numpy_helper.from_array(np.ones(9), "w")])
    )
    for _ in range(data.draw(st.integers(1, 4))):
        model[data.draw(st.integers(0, len(model) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FramingError, ExternalDataError):
        walk(bytes(model))
