"""Make a file that is framed as an ONNX export of MiT-B2, with random weights of its shapes.

The bytes depend on the seed and the names only, so that two files of the same seed share every
tensor that ``retrained`` does not name. Nothing of it is ever committed.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

FLOAT = 1
_BLOCK_BYTES = 1 << 20


def reference_shapes(network: str = "mit_b2") -> dict[str, list[int]] | None:
    """Tensor names and shapes of a network, or None where ``state_dict.json`` is not at hand."""
    root = os.environ.get("TRUFOR_TEST_DATA") or Path(__file__).parents[2] / "shared"
    path = Path(root) / "reference" / "state_dict.json"
    if not path.is_file():
        return None
    shapes: dict[str, list[int]] = json.loads(path.read_text())[network]
    return shapes


def write_model(
    path: Path,
    shapes: Mapping[str, Sequence[int]],
    *,
    seed: str = "synthetic",
    retrained: Callable[[str], bool] = lambda _name: False,
    nodes: int = 2000,
) -> None:
    """Write the model in constant memory.

    Args:
        path: the file.
        shapes: its initializers, in file order.
        seed: any text.
        retrained: tells by its name whether a tensor has other values than the seed gives.
        nodes: how many nodes the graph has.
    """
    head = b"".join(_message(1, node) for node in _nodes(nodes)) + _text(2, "main_graph")
    tail = _message(11, _text(1, "rgb")) + _message(12, _text(1, "fused_0"))
    tensors = [
        (name, _tensor_head(name, shape), 4 * _count(shape)) for name, shape in shapes.items()
    ]
    lengths = [_size_of_message(5, len(header) + size) for _, header, size in tensors]
    graph = len(head) + sum(lengths) + len(tail)
    with path.open("wb") as stream:
        stream.write(_number(1, 8) + _text(2, "synthetic") + _key(7, 2) + _varint(graph))
        stream.write(head)
        for name, header, size in tensors:
            stream.write(_key(5, 2) + _varint(len(header) + size) + header)
            _write_values(stream, f"{seed}{'+' * retrained(name)}/{name}", size)
        stream.write(tail)
        stream.write(_message(8, _number(2, 17)))  # opset_import


def _nodes(count: int) -> Iterator[bytes]:
    for index in range(count):
        inputs = _text(1, f"/blocks/{index}/input") + _text(1, f"onnx::MatMul_{index}")
        axis = _message(5, _text(1, "axis") + _number(3, 1) + _number(20, 2))
        yield inputs + _text(2, f"/blocks/{index}/output") + _text(4, "MatMul") + axis


def _write_values(stream: BinaryIO, seed: str, size: int) -> None:
    values = random.Random(hashlib.sha256(seed.encode()).digest())
    while size:
        block = values.randbytes(min(size, _BLOCK_BYTES))
        stream.write(block)
        size -= len(block)


def _tensor_head(name: str, shape: Sequence[int]) -> bytes:
    dims = b"".join(_number(1, side) for side in shape)
    return dims + _number(2, FLOAT) + _text(8, name) + _key(9, 2) + _varint(4 * _count(shape))


def _count(shape: Sequence[int]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _number(number: int, value: int) -> bytes:
    return _key(number, 0) + _varint(value)


def _message(number: int, content: bytes) -> bytes:
    return _key(number, 2) + _varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode())


def _size_of_message(number: int, length: int) -> int:
    return len(_key(number, 2)) + len(_varint(length)) + length
