"""Which tensors lie in which piece."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from chunking.errors import FramingError
from chunking.framing import RandomAccess
from chunking.manifest import Piece
from chunking.onnx_records import records

MAX_ENTRIES = 100_000


@dataclass(frozen=True)
class TensorMap:
    """The names of the tensors in each piece, in file order.

    Attributes:
        names: one tuple a piece; a tensor that is cut is in each piece that holds a part of it.
        gap: why the map is not complete; "" if it is.
    """

    names: tuple[tuple[str, ...], ...]
    gap: str = ""


def map_tensors(source: RandomAccess, pieces: Sequence[Piece]) -> TensorMap:
    """Walk a model's framing and sort its tensors by piece, as far as that can be followed."""
    names: list[list[str]] = [[] for _ in pieces]
    offsets = [piece.offset for piece in pieces]
    gap = ""
    entries = 0
    try:
        for record in records(source, names=True):
            if not record.is_tensor:
                continue
            first = bisect_right(offsets, record.start) - 1
            last = bisect_right(offsets, record.end - 1) - 1
            entries += last - first + 1
            if entries > MAX_ENTRIES:
                raise FramingError(f"more than {MAX_ENTRIES} tensors")
            for index in range(first, last + 1):
                names[index].append(record.name)
    except FramingError as error:
        gap = error.problem
    return TensorMap(tuple(map(tuple, names)), gap)
