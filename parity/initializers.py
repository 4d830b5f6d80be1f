"""The digests of an ONNX file's weights, all of which must be inside the file.

The file is walked by its framing (`chunking.framing`): nothing is parsed as a whole, and neither
onnx nor protobuf is needed. Field numbers and the fields that hold values come from onnx.proto
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, ``TensorProto``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from chunking.errors import ChunkingError, ExternalDataError, FramingError
from chunking.framing import BYTES, VARINT, Field, Walker
from chunking.onnx_records import GRAPH_INITIALIZER, MODEL_GRAPH, TENSOR_NAME, records
from chunking.sources import OpenFile, opened
from export.errors import ExportError

GRAPH_NODE, GRAPH_OUTPUT = 1, 12
TENSOR_DIMS, TENSOR_TYPE, TENSOR_RAW = 1, 2, 9
FLOATS, INT32S, INT64S, DOUBLES, UINT64S = 4, 5, 7, 10, 11
LONGEST_NAME = 1024
BLOCK_BYTES = 1 << 20
# data_type: the field that holds values which are not raw, and their little-endian kind.
_FLOAT, _UINT8, _INT8, _UINT16, _INT16, _INT32, _INT64 = 1, 2, 3, 4, 5, 6, 7
_BOOL, _FLOAT16, _DOUBLE, _UINT32, _UINT64, _COMPLEX64, _COMPLEX128 = 9, 10, 11, 12, 13, 14, 15
_BFLOAT16 = 16
COMPLEX = (_COMPLEX64, _COMPLEX128)
VALUES: dict[int, tuple[int, str]] = {
    _FLOAT: (FLOATS, "<f4"),
    _COMPLEX64: (FLOATS, "<f4"),
    _DOUBLE: (DOUBLES, "<f8"),
    _COMPLEX128: (DOUBLES, "<f8"),
    _BOOL: (INT32S, "<u1"),
    _UINT8: (INT32S, "<u1"),
    _INT8: (INT32S, "<i1"),
    _UINT16: (INT32S, "<u2"),
    _INT16: (INT32S, "<i2"),
    _FLOAT16: (INT32S, "<u2"),
    _BFLOAT16: (INT32S, "<u2"),
    _INT32: (INT32S, "<i4"),
    _INT64: (INT64S, "<i8"),
    _UINT32: (UINT64S, "<u4"),
    _UINT64: (UINT64S, "<u8"),
}


def initializer_digests(path: Path) -> dict[str, str]:
    """SHA-256 of every initializer of an ONNX file's graph, by name.

    Of its values as `export.provenance.array_digest` has them: little-endian, row by row.

    Raises:
        ExportError: it is no readable ONNX file, or keeps weights in other files.
    """
    try:
        with opened(path, follow_link=True) as file:
            for _ in records(file, check_external=True):
                pass
            return _digests(file)
    except ExternalDataError as error:
        raise ExportError(
            f"{path}: keeps tensors in other files, which no digest covers ({error.problem})",
            hint="merge them into the file: onnx.save(onnx.load(FILE), FILE)",
        ) from error
    except (ChunkingError, OSError, ValueError) as error:
        reason = error.problem if isinstance(error, ChunkingError) else error
        raise ExportError(
            f"{path}: not a readable ONNX file ({reason})",
            hint="it may be truncated, or something else; export again",
        ) from error


def _digests(file: OpenFile) -> dict[str, str]:
    walker = Walker(file)
    found: dict[str, str] = {}
    parts = set()
    for model in walker.fields(0, file.size):
        if model.number != MODEL_GRAPH:
            continue
        for part in walker.fields(model.body, model.end):
            parts.add(part.number)
            if part.number == GRAPH_INITIALIZER:
                name, digest = _tensor(file, walker, part)
                if name in found:
                    raise FramingError(f"two initializers are called {name!a}")
                found[name] = digest
    if not {GRAPH_NODE, GRAPH_OUTPUT} <= parts:
        raise FramingError("a graph without nodes or outputs")
    return found


def _tensor(file: OpenFile, walker: Walker, tensor: Field) -> tuple[str, str]:
    """The name of an initializer and the digest of its values."""
    fields = list(walker.fields(tensor.body, tensor.end))
    names = [walker.content(f, LONGEST_NAME) for f in fields if f.number == TENSOR_NAME]
    name = names[-1].decode("utf-8", "backslashreplace") if names else ""
    raw = [field for field in fields if field.number == TENSOR_RAW and field.wire == BYTES]
    if raw:
        return name, _range_digest(file, raw[-1].body, raw[-1].end)
    kinds = [field.value for field in fields if field.number == TENSOR_TYPE]
    number, kind = VALUES.get(kinds[-1] if kinds else 0, (0, ""))
    if not number:
        raise FramingError(f"the initializer {name!a} holds no numbers")
    values = list(_values(file, [f for f in fields if f.number == number], number))
    dims = list(_numbers(file, [f for f in fields if f.number == TENSOR_DIMS]))
    if len(values) != math.prod(dims) * (2 if kinds[-1] in COMPLEX else 1):  # complex: pairs
        raise FramingError(f"the initializer {name!a} has {len(values)} values for {dims}")
    wide = np.array(values, np.uint64 if number in (INT32S, INT64S, UINT64S) else kind)
    # A negative number is written as the 64 bits of its two's complement.
    return name, sha256(wide.astype(np.dtype(kind)).tobytes()).hexdigest()


def _values(file: OpenFile, fields: list[Field], number: int) -> Iterator[Any]:
    if number not in (FLOATS, DOUBLES):
        yield from _numbers(file, fields)
        return
    kind = np.dtype("<f4" if number == FLOATS else "<f8")
    for field in fields:
        start = field.body if field.wire == BYTES else field.end - kind.itemsize
        yield from np.frombuffer(file.read_at(start, field.end - start), kind)


def _numbers(file: OpenFile, fields: list[Field]) -> Iterator[int]:
    """Integers, one a field or packed."""
    for field in fields:
        if field.wire == VARINT:
            yield field.value & 0xFFFFFFFFFFFFFFFF
        elif field.wire == BYTES:
            yield from _packed(file.read_at(field.body, field.end - field.body))


def _packed(data: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value & 0xFFFFFFFFFFFFFFFF
            value = shift = 0
    if shift:
        raise FramingError("a number is cut off")


def _range_digest(file: OpenFile, start: int, end: int) -> str:
    digest = sha256()
    block = memoryview(bytearray(min(BLOCK_BYTES, end - start)))
    while start < end:
        count = file.read_into(block[: end - start], start)
        if not count:
            raise FramingError("shorter than when it was opened")
        digest.update(block[:count])
        start += count
    return digest.hexdigest()
