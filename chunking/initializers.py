"""What an ONNX file computes with, by digest: its weights, and its graph without them.

The file is walked by its framing (`chunking.framing`): nothing is parsed as a whole, and neither
onnx nor protobuf is needed. Field numbers and the fields that hold values come from onnx.proto
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, ``TensorProto``). Weights that torch's
exporter puts in a file beside it are read from there (`chunking.external_data`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from trufor_onnx.chunking.external_data import place_of, places, readable
from trufor_onnx.chunking.folders import OpenFile, opened
from trufor_onnx.chunking.framing import (
    BYTES,
    EXTERNAL,
    GRAPH_INITIALIZER,
    GRAPH_NODE,
    GRAPH_OUTPUT,
    MODEL_GRAPH,
    TENSOR_LOCATION,
    TENSOR_NAME,
    VARINT,
    Field,
    RandomAccess,
    Walker,
    records,
)
from trufor_onnx.errors import FramingError
from trufor_onnx.files import BLOCK_BYTES

# What says who made a file, and nothing of what it computes: names, texts, metadata.
MODEL_ABOUT = (2, 3, 4, 5, 6, 14)
GRAPH_NAME, GRAPH_DOC, GRAPH_METADATA = 2, 10, 16
GRAPH_ABOUT = (GRAPH_NAME, GRAPH_INITIALIZER, GRAPH_DOC, GRAPH_METADATA)
NODE_OUTPUT, NODE_TYPE, NODE_DOC, NODE_METADATA = 2, 4, 6, 9
OTHER_PARTS = {11: "input", 12: "output", 13: "value_info", 14: "quantization", 15: "sparse"}
TENSOR_DIMS, TENSOR_TYPE, TENSOR_RAW = 1, 2, 9
FLOATS, INT32S, INT64S, DOUBLES, UINT64S = 4, 5, 7, 10, 11
COMPLEX = (14, 15)  # kinds whose values are pairs
# Of a kind (``data_type``) the field that holds values which are not raw, and their form.
VALUES: dict[int, tuple[int, str]] = {
    1: (FLOATS, "<f4"),
    2: (INT32S, "<u1"),
    3: (INT32S, "<i1"),
    4: (INT32S, "<u2"),
    5: (INT32S, "<i2"),
    6: (INT32S, "<i4"),
    7: (INT64S, "<i8"),
    9: (INT32S, "<u1"),  # bool
    10: (INT32S, "<u2"),  # float16
    11: (DOUBLES, "<f8"),
    12: (UINT64S, "<u4"),
    13: (UINT64S, "<u8"),
    14: (FLOATS, "<f4"),
    15: (DOUBLES, "<f8"),
    16: (INT32S, "<u2"),  # bfloat16
}


class Bytes(RandomAccess, Protocol):
    """A file on disk (`chunking.folders.OpenFile`) or in memory (`InMemory`)."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from ``offset``; returns the number of bytes, fewer at the end."""
        ...


@dataclass(frozen=True)
class InMemory:
    """A file that was never written."""

    data: bytes

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.data)

    def read_at(self, offset: int, count: int) -> bytes:
        """The ``count`` bytes from ``offset``, or fewer at the end."""
        return self.data[offset : offset + count]

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from ``offset``; returns the number of bytes, fewer at the end."""
        part = self.read_at(offset, len(buffer))
        buffer[: len(part)] = part
        return len(part)


class Tensor(NamedTuple):
    """An initializer: its kind of number (of onnx.proto), its shape, and SHA-256 of its values.

    Values are digested as `export.graph.provenance.array_digest` has them: little-endian, row by
    row.
    """

    kind: int
    shape: tuple[int, ...]
    sha256: str


class Part(NamedTuple):
    """A node, or another part of a model that decides what it computes."""

    label: str
    sha256: str


@dataclass(frozen=True)
class Contents:
    """What an ONNX file computes with.

    Attributes:
        initializers: its graph's weights by name.
        parts: everything else that it computes by, in its order: nodes with what is in them,
            inputs, outputs, functions, versions of operators.
        external: the files beside it that hold tensors, by name.
    """

    initializers: Mapping[str, Tensor]
    parts: tuple[Part, ...]
    external: Mapping[str, Path]

    @property
    def graph(self) -> str:
        """SHA-256 over all parts."""
        return sha256("\n".join(part.sha256 for part in self.parts).encode()).hexdigest()


def read_contents(path: Path) -> Contents:
    """Everything that an ONNX file computes with.

    Raises:
        ExportError: it is no readable ONNX file, or keeps weights where they cannot be taken from.
    """
    with readable(path), ExitStack() as stack:
        file = stack.enter_context(opened(path, follow_link=True))
        for _ in records(file):
            pass
        external = places(path, file)
        beside = {
            name: stack.enter_context(opened(place, follow_link=True))
            for name, place in external.items()
        }
        return _contents(file, beside, external)


def contents_of(data: bytes) -> Contents:
    """The same of a file in memory, whose weights are all inside of it."""
    return _contents(InMemory(data), {}, {})


def _contents(
    file: Bytes, beside: Mapping[str, OpenFile], external: Mapping[str, Path]
) -> Contents:
    walker = Walker(file)
    found: dict[str, Tensor] = {}
    parts: list[Part] = []
    there = set()
    for model in walker.fields(0, file.size):
        if model.number != MODEL_GRAPH:
            if model.number not in MODEL_ABOUT:
                parts.append(Part(f"field {model.number} of the model", _digest(file, [model])))
            continue
        for part in walker.fields(model.body, model.end):
            there.add(part.number)
            if part.number == GRAPH_INITIALIZER:
                name, tensor = _tensor(file, walker, part, beside)
                if name in found:
                    raise FramingError(f"two initializers are called {name!a}")
                found[name] = tensor
            elif part.number == GRAPH_NODE:
                parts.append(_node(file, walker, part))
            elif part.number not in GRAPH_ABOUT:
                label = OTHER_PARTS.get(part.number, f"field {part.number} of the graph")
                parts.append(Part(label, _digest(file, [part])))
    if not {GRAPH_NODE, GRAPH_OUTPUT} <= there:
        raise FramingError("a graph without nodes or outputs")
    return Contents(found, tuple(parts), external)


def _node(file: Bytes, walker: Walker, node: Field) -> Part:
    """A node with its attributes, constants and subgraphs; its texts aside."""
    fields = [
        field
        for field in walker.fields(node.body, node.end)
        if field.number not in (NODE_DOC, NODE_METADATA)
    ]
    said = [
        next((walker.text(f) for f in fields if f.number == number and f.wire == BYTES), "")
        for number in (NODE_TYPE, NODE_OUTPUT)
    ]
    return Part(" -> ".join(said), _digest(file, fields))


def _digest(file: Bytes, fields: Collection[Field]) -> str:
    """Of the bytes of some fields, one after the other, each with its length."""
    digest = sha256()
    for field in fields:
        digest.update((field.end - field.start).to_bytes(8, "little"))
        _update(digest, file, field.start, field.end)
    return digest.hexdigest()


def _tensor(
    file: Bytes, walker: Walker, tensor: Field, beside: Mapping[str, OpenFile]
) -> tuple[str, Tensor]:
    """The name of an initializer, and what it is."""
    fields = list(walker.fields(tensor.body, tensor.end))
    name = next((walker.text(f) for f in reversed(fields) if f.number == TENSOR_NAME), "")
    kinds = [field.value for field in fields if field.number == TENSOR_TYPE]
    kind = kinds[-1] if kinds else 0
    dims = tuple(_numbers(walker, [f for f in fields if f.number == TENSOR_DIMS]))
    number, width = VALUES.get(kind, (0, ""))
    count = math.prod(dims) * (2 if kind in COMPLEX else 1)
    where = [field.value & 0xFFFFFFFF for field in fields if field.number == TENSOR_LOCATION]
    if where and where[-1] == EXTERNAL:
        size = count * np.dtype(width).itemsize if number else None
        return name, Tensor(kind, dims, _external(walker, tensor, name, list(dims), size, beside))
    raw = [field for field in fields if field.number == TENSOR_RAW and field.wire == BYTES]
    if raw:
        return name, Tensor(kind, dims, _range_digest(file, raw[-1].body, raw[-1].end))
    if not number:
        raise FramingError(f"the initializer {name!a} holds no numbers")
    given = [field for field in fields if field.number == number]
    if number in (FLOATS, DOUBLES):
        values = list(_floats(file, given, np.dtype("<f4" if number == FLOATS else "<f8")))
    else:
        values = list(_numbers(walker, given))
    if len(values) != count:
        raise FramingError(f"the initializer {name!a} has {len(values)} values for {list(dims)}")
    wide = np.array(values, width if number in (FLOATS, DOUBLES) else np.uint64)
    # A negative number is written as the 64 bits of its two's complement.
    return name, Tensor(kind, dims, sha256(wide.astype(np.dtype(width)).tobytes()).hexdigest())


def _external(
    walker: Walker,
    tensor: Field,
    name: str,
    dims: list[int],
    size: int | None,
    beside: Mapping[str, OpenFile],
) -> str:
    """The digest of values in a file beside the ONNX file; ``size`` is theirs, if it is known."""
    place = place_of(walker, tensor)
    file = beside[place.location]
    length = place.length if size is None else size
    if length is None:
        raise FramingError(f"the initializer {name!a} says no length, of a kind without a size")
    if place.length not in (None, length):
        raise FramingError(f"the initializer {name!a} has {place.length} bytes for {dims}")
    if place.offset + length > file.size:
        raise FramingError(f"the initializer {name!a} lies beyond the end of {place.location}")
    return _range_digest(file, place.offset, place.offset + length)


def _floats(file: Bytes, fields: list[Field], kind: np.dtype[Any]) -> Iterator[Any]:
    """Floating numbers, one a field or packed."""
    for field in fields:
        start = field.body if field.wire == BYTES else field.end - kind.itemsize
        yield from np.frombuffer(file.read_at(start, field.end - start), kind)


def _numbers(walker: Walker, fields: list[Field]) -> Iterator[int]:
    """Integers, one a field or packed."""
    for field in fields:
        if field.wire == VARINT:
            yield field.value & 0xFFFFFFFFFFFFFFFF
        elif field.wire == BYTES:
            for number in walker.numbers(field):
                yield number & 0xFFFFFFFFFFFFFFFF


def _range_digest(file: Bytes, start: int, end: int) -> str:
    digest = sha256()
    _update(digest, file, start, end)
    return digest.hexdigest()


def _update(digest: Any, file: Bytes, start: int, end: int) -> None:
    """Hash a range, a block at a time."""
    block = memoryview(bytearray(min(BLOCK_BYTES, end - start)))
    while start < end:
        count = file.read_into(block[: end - start], start)
        if not count:
            raise FramingError("shorter than when it was opened")
        digest.update(block[:count])
        start += count
