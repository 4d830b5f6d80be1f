"""The least that is a whole ONNX model, for tests that read bytes only and need no onnx."""

from __future__ import annotations


def onnx_bytes(data: bytes) -> bytes:
    """A model that gives out its one tensor, of these bytes (field numbers: onnx.proto)."""
    node = _field(1, b"x") + _field(2, b"y") + _field(4, b"Identity")
    tensor = b"\x08" + _varint(len(data)) + b"\x10\x02" + _field(8, b"x") + _field(9, data)
    graph = _field(1, node) + _field(2, b"g") + _field(5, tensor) + _field(12, _field(1, b"y"))
    return b"\x08\x08" + _field(7, graph) + _field(8, b"\x10\x11")


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
