"""Protobuf's wire format, walked by seeking: no message is ever loaded whole.

Source of the encoding: https://protobuf.dev/programming-guides/encoding/. The bytes are not
trusted: every length is checked against what encloses it, and the number of fields is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from trufor_onnx.errors import ExternalDataError, FramingError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 4_000_000  # some seconds of walking; a model of 5,000 nodes has 0.1 million
_WINDOW_BYTES = 1 << 13
_LONGEST_VARINT = 10
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}
MODEL_IR_VERSION, MODEL_GRAPH, MODEL_OPSET = 1, 7, 8
GRAPH_NODE, GRAPH_OUTPUT = 1, 12
GRAPH_INITIALIZER, GRAPH_SPARSE_INITIALIZER = 5, 15
SPARSE_VALUES = 1
TENSOR_NAME, TENSOR_EXTERNAL_DATA, TENSOR_LOCATION, EXTERNAL = 8, 13, 14, 1
MAX_NAME_BYTES = 1024
MAX_DEPTH = 64
# The ways to a tensor: which fields of a message hold messages on the way, and of what kind.
_BELOW: dict[str, dict[int, str]] = {
    "model": {20: "training", 25: "function"},  # the graph (7) is walked record by record
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", GRAPH_INITIALIZER: "tensor", GRAPH_SPARSE_INITIALIZER: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {SPARSE_VALUES: "tensor", 2: "tensor"},
}


class RandomAccess(Protocol):
    """Bytes that can be read at any offset."""

    @property
    def size(self) -> int:
        """Their number."""
        ...

    def read_at(self, offset: int, count: int) -> bytes:
        """The ``count`` bytes from ``offset``, or fewer at the end."""
        ...


class Field(NamedTuple):
    """One field of a message: where it lies, and its value or the bounds of its content."""

    number: int
    wire: int
    start: int  # of the key
    body: int  # of the content, for BYTES
    end: int
    value: int  # for VARINT, otherwise 0


class Walker:
    """Iterates over the fields of messages in a file.

    Args:
        source: the file.
        max_fields: fields that are walked before the file is refused, over all messages.
    """

    def __init__(self, source: RandomAccess, *, max_fields: int = MAX_FIELDS) -> None:
        self._source = source
        self._left = max_fields
        self._window = b""
        self._base = 0

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message that fills ``start`` to ``end`` exactly, in file order.

        Raises:
            FramingError: a field is cut off, overlong, of an unknown kind, or one too many.
        """
        position = start
        while position < end:
            self._left -= 1
            if self._left < 0:
                raise FramingError("too many fields for a model")
            key, body = self._varint(position, end)
            number, wire = key >> 3, key & 7
            value = 0
            if wire == BYTES:
                length, body = self._varint(body, end)
                after = body + length
            elif wire == VARINT:
                value, after = self._varint(body, end)
            elif wire in _FIXED_BYTES:
                after = body + _FIXED_BYTES[wire]
            else:
                raise FramingError(f"wire type {wire} at byte {position}")
            if not 0 < number < 1 << 29:
                raise FramingError(f"field number {number} at byte {position}")
            if after > end:
                raise FramingError(f"the field at byte {position} ends beyond what encloses it")
            yield Field(number, wire, position, body, after, value)
            position = after

    def content(self, field: Field, limit: int) -> bytes:
        """The content of a BYTES field, or its first ``limit`` bytes."""
        return self._source.read_at(field.body, min(field.end - field.body, limit))

    def text(self, field: Field) -> str:
        """The content of a BYTES field as text; of a longer one than a name its beginning."""
        return self.content(field, MAX_NAME_BYTES).decode("utf-8", "backslashreplace")

    def numbers(self, field: Field) -> Iterator[int]:
        """The packed VARINT numbers that fill a BYTES field.

        Raises:
            FramingError: one is cut off or overlong.
        """
        position = field.body
        while position < field.end:
            value, position = self._varint(position, field.end)
            yield value

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """The number at ``position`` and the offset after it."""
        index = position - self._base
        if index < 0 or index + _LONGEST_VARINT > len(self._window):
            self._window = self._source.read_at(position, _WINDOW_BYTES)
            self._base, index = position, 0
        window = self._window
        if index < len(window) and window[index] < 0x80 and position < end:
            return window[index], position + 1  # most numbers are one byte long
        value = shift = 0
        for byte in window[index : index + min(_LONGEST_VARINT, end - position)]:
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
            shift += 7
        raise FramingError(f"the number at byte {position} is cut off or overlong")


class Record(NamedTuple):
    """A run of bytes that no cut should part: a field of the graph, or one outside it."""

    start: int
    end: int
    is_tensor: bool  # an initializer, dense or sparse
    name: str = ""  # of the initializer, if it was asked for


def records(
    source: RandomAccess, *, names: bool = False, check_external: bool = False
) -> Iterator[Record]:
    """The model's records in file order. Together they cover the file.

    Records are yielded as they are found: an error may come after good ones.

    Args:
        source: the file.
        names: look into the initializers for their names.
        check_external: look into every message for tensors kept in another file.

    Raises:
        FramingError: the bytes are not the framing of an ONNX model.
        ExternalDataError: a tensor is kept in another file (only with ``check_external``, and
            only after the last record: what is no model has no such tensors).
    """
    walker = Walker(source)
    external = _ExternalTensors(walker)
    has_graph = has_version = False
    for field in walker.fields(0, source.size):
        if field.number == MODEL_GRAPH:
            _expect_message(field, "graph")
            has_graph = True
            yield Record(field.start, field.body, False)
            for part in walker.fields(field.body, field.end):
                if check_external and part.number in _BELOW["graph"]:
                    external.look_into(part, _BELOW["graph"][part.number])
                is_tensor = part.number in (GRAPH_INITIALIZER, GRAPH_SPARSE_INITIALIZER)
                name = _name(walker, part) if is_tensor and names else ""
                yield Record(part.start, part.end, is_tensor, name)
            continue
        has_version |= field.number == MODEL_IR_VERSION and field.wire == VARINT
        if check_external and field.number in _BELOW["model"]:
            external.look_into(field, _BELOW["model"][field.number])
        yield Record(field.start, field.end, False)
    if not has_graph or not has_version:
        raise FramingError("no graph or no version of the format")
    external.refuse()


def missing_part(source: RandomAccess) -> str:
    """What a whole ONNX model has and this one lacks or has twice; "" if nothing.

    Where a file was cut off between two records, or two were run together, each record is whole.

    Raises:
        FramingError: the bytes are not the framing of an ONNX model.
    """
    walker = Walker(source)
    top, graph = Counter[int](), Counter[int]()
    for field in walker.fields(0, source.size):
        top[field.number] += 1
        if field.number == MODEL_GRAPH:
            _expect_message(field, "graph")
            graph.update(part.number for part in walker.fields(field.body, field.end))
    if top[MODEL_GRAPH] > 1 or top[MODEL_IR_VERSION] > 1:
        return "it holds two models, one after the other"
    for found, part in (
        (top[MODEL_IR_VERSION], "version of the format"),
        (top[MODEL_GRAPH], "graph"),
        (graph[GRAPH_NODE], "node in its graph"),
        (graph[GRAPH_OUTPUT], "output of its graph"),
        (top[MODEL_OPSET], "operator set after its graph"),
    ):
        if not found:
            return f"it has no {part}"
    return ""


def external_tensors(source: RandomAccess) -> list[Field]:
    """The tensors that are kept in another file, wherever in the model they stand.

    Raises:
        FramingError: the bytes are not the framing of an ONNX model.
    """
    walker = Walker(source)
    external = _ExternalTensors(walker)
    for field in walker.fields(0, source.size):
        if field.number == MODEL_GRAPH:
            external.look_into(field, "graph")
        elif field.number in _BELOW["model"]:
            external.look_into(field, _BELOW["model"][field.number])
    return external.found


def _name(walker: Walker, tensor: Field) -> str:
    """The name of an initializer; a sparse one has that of its values."""
    _expect_message(tensor, "initializer")
    name = ""
    for field in walker.fields(tensor.body, tensor.end):
        if field.wire == BYTES and field.number == TENSOR_NAME:
            name = walker.text(field)
        elif tensor.number == GRAPH_SPARSE_INITIALIZER and field.number == SPARSE_VALUES:
            return _name(walker, field)
    return name


class _ExternalTensors:
    """Finds tensors that are kept in another file, anywhere in a model."""

    def __init__(self, walker: Walker) -> None:
        self._walker = walker
        self._first: str | None = None
        self.found: list[Field] = []

    def look_into(self, message: Field, kind: str, depth: int = 1) -> None:
        """Search one message of the given kind (a key of ``_BELOW``, or "tensor")."""
        _expect_message(message, kind)
        if depth > MAX_DEPTH:
            raise FramingError(f"messages nested deeper than {MAX_DEPTH} at byte {message.start}")
        if kind == "tensor":
            self._look_at_tensor(message)
            return
        for field in self._walker.fields(message.body, message.end):
            if field.number in _BELOW[kind]:
                self.look_into(field, _BELOW[kind][field.number], depth + 1)

    def refuse(self) -> None:
        """Raise `ExternalDataError` if one was found."""
        if self._first is not None:
            raise ExternalDataError(
                f"the tensor {self._first!a} keeps its values in another file, which "
                "the pieces would not hold",
                hint="save the model as one file: onnx.save(onnx.load(PATH), PATH)",
            )

    def _look_at_tensor(self, tensor: Field) -> None:
        location, name = 0, ""
        for field in self._walker.fields(tensor.body, tensor.end):
            if field.number == TENSOR_LOCATION and field.wire == VARINT:
                location = field.value & 0xFFFFFFFF  # an enum is read as 32 bits; the last counts
            elif field.number == TENSOR_NAME and field.wire == BYTES:
                name = self._walker.text(field)
        if location == EXTERNAL:
            self.found.append(tensor)
            self._first = name if self._first is None else self._first


def _expect_message(field: Field, kind: str) -> None:
    if field.wire != BYTES:
        raise FramingError(f"the {kind} at byte {field.start} is no message")
