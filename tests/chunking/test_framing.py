from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.chunking.framing import BYTES, FIXED32, FIXED64, VARINT, Field, Walker
from trufor_onnx.errors import FramingError


class Buffer:
    """Bytes that count how many of them were read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.read = 0

    def read_at(self, offset: int, count: int) -> bytes:
        part = self.data[offset : offset + count]
        self.read += len(part)
        return part


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
