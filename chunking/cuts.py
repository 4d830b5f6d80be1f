"""Where a file is cut: at its tensors if it is an ONNX model, else at fixed offsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chunking.errors import ChunkingError, FramingError
from chunking.framing import RandomAccess
from chunking.manifest import MAX_PIECES, Chunker
from chunking.onnx_records import records
from chunking.sizes import format_size

DEFAULT_TARGET, DEFAULT_MAX = 24 << 20, 45 << 20
BY_TENSORS, FIXED = METHODS = ("tensors", "fixed")
VERSION = 1  # of both methods: another number where the same file would be cut elsewhere


@dataclass(frozen=True)
class Plan:
    """How a file is cut: the method, and the offset in bytes at which each piece ends."""

    chunker: Chunker
    ends: tuple[int, ...]


def plan_cuts(
    source: RandomAccess, *, target: int = DEFAULT_TARGET, maximum: int = DEFAULT_MAX
) -> Plan:
    """Choose the cuts of a file. Only sizes decide, never the values of tensors.

    Args:
        source: the file.
        target: bytes at which a piece is full.
        maximum: bytes that no piece exceeds.

    Raises:
        ExternalDataError: the model keeps weights in another file.
        ChunkingError: the sizes contradict each other, or would make too many pieces.
    """
    if not 0 < target <= maximum:
        raise ChunkingError(
            f"the target of {target} bytes is above the maximum of {maximum}",
            hint="--target must not be larger than --max",
        )
    try:
        ends = _bounded(_tensor_ends(source, target, maximum), source.size, target)
        return Plan(Chunker(BY_TENSORS, VERSION, target, maximum), ends)
    except FramingError:
        ends = _bounded(_fixed_ends(source.size, target), source.size, target)
        return Plan(Chunker(FIXED, VERSION, target, maximum), ends)


def _fixed_ends(size: int, target: int) -> Iterator[int]:
    yield from range(target, size, target)
    if size:
        yield size


def _tensor_ends(source: RandomAccess, target: int, maximum: int) -> Iterator[int]:
    """Close a piece at the first record boundary at or past the target, before the maximum.

    What stands before the first tensor and after the last are pieces of their own, so that a
    change of the graph leaves the pieces with tensors as they were.
    """
    first = last = None
    for record in records(source, check_external=True):
        if record.is_tensor:
            first = record.start if first is None else first
            last = record.end
    piece = 0
    for record in records(source):
        if record.start > piece and (record.start in (first, last) or record.end - piece > maximum):
            piece = record.start
            yield piece
        while record.end - piece > maximum:  # one record that no piece can hold
            piece += target
            yield piece
        if record.end - piece >= target:
            piece = record.end
            yield piece
    if piece < source.size:
        yield source.size


def _bounded(ends: Iterator[int], size: int, target: int) -> tuple[int, ...]:
    chosen: list[int] = []
    for end in ends:
        chosen.append(end)
        if len(chosen) > MAX_PIECES:
            raise ChunkingError(
                f"{format_size(size)} in pieces of {format_size(target)} are more than "
                f"{MAX_PIECES} pieces",
                hint="choose a larger --target",
            )
    return tuple(chosen)
