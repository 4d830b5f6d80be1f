"""Protobuf's wire format, walked by seeking: no message is ever loaded whole.

Source of the encoding: https://protobuf.dev/programming-guides/encoding/. The bytes are not
trusted: every length is checked against what encloses it, and the number of fields is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from chunking.errors import FramingError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 4_000_000  # some seconds of walking; a model of 5,000 nodes has 0.1 million
_WINDOW_BYTES = 1 << 13
_LONGEST_VARINT = 10
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}


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
