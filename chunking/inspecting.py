"""Look into a folder of pieces: which tensors lie where, and what two releases share."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from trufor_onnx.chunking.folders import JoinedPieces, open_folder
from trufor_onnx.chunking.framing import RandomAccess, records
from trufor_onnx.chunking.manifest import MAX_PIECES, Chunker, Manifest, Piece, release_id
from trufor_onnx.errors import ChunkingError, FramingError
from trufor_onnx.files import format_size

MAX_ENTRIES = 100_000
DEFAULT_TARGET, DEFAULT_MAX = 24 << 20, 45 << 20
BY_TENSORS, FIXED = METHODS = ("tensors", "fixed")
VERSION = 1  # of both methods: another number where the same file would be cut elsewhere


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


@dataclass(frozen=True)
class Sharing:
    """What a release shares with an older one. Bytes count as often as they are in the file.

    Attributes:
        against: the release id of the older one.
        is_new: one a piece of the newer one: whether the older one lacks it.
        new_bytes: the size of the pieces that the older one lacks.
        shared_bytes: the size of those that it has.
        gone_bytes: the size of the older one's pieces that the newer one lacks.
    """

    against: str
    is_new: tuple[bool, ...]
    new_bytes: int
    shared_bytes: int
    gone_bytes: int

    @property
    def new_share(self) -> float:
        """The new bytes' share of the file, 0 to 1; 0 for an empty file."""
        total = self.new_bytes + self.shared_bytes
        return self.new_bytes / total if total else 0.0


@dataclass(frozen=True)
class Inspection:
    """What a folder of pieces holds, as its manifest says; nothing is verified.

    Attributes:
        folder: the folder.
        manifest: what it should hold.
        release_id: the SHA-256 of the manifest's bytes.
        tensors: one tuple of names a piece, in file order.
        gap: why ``tensors`` is not complete (no ONNX model, a missing piece); "" if it is.
        sharing: the comparison with an older release, if one was given.
    """

    folder: Path
    manifest: Manifest
    release_id: str
    tensors: tuple[tuple[str, ...], ...]
    gap: str
    sharing: Sharing | None


def inspect(path: Path, *, against: Path | None = None) -> Inspection:
    """Say which tensors lie in which piece, and how much a release has that an older one has not.

    Args:
        path: the folder, or a manifest in it. Pieces may be missing: their tensors are not named.
        against: the older release, likewise; only its manifest is read.

    Raises:
        ManifestError: there is no right manifest.
        StorageError: it cannot be read.
    """
    folder = open_folder(path)
    older = open_folder(against).manifest if against else None
    with closing(JoinedPieces(folder.path, folder.manifest)) as source:
        found = map_tensors(source, folder.manifest.chunks)
    return Inspection(
        folder.path,
        folder.manifest,
        release_id(folder.manifest),
        found.names,
        found.gap,
        share(folder.manifest, older) if older else None,
    )


def share(newer: Manifest, older: Manifest) -> Sharing:
    """Compare two releases by the digests of their pieces."""
    known, kept = older.piece_names, newer.piece_names
    is_new = tuple(piece.file_name not in known for piece in newer.chunks)
    new_bytes = sum(piece.size for piece, new in zip(newer.chunks, is_new, strict=True) if new)
    return Sharing(
        against=release_id(older),
        is_new=is_new,
        new_bytes=new_bytes,
        shared_bytes=newer.file.size - new_bytes,
        gone_bytes=sum(piece.size for piece in older.chunks if piece.file_name not in kept),
    )


@dataclass(frozen=True)
class CutPlan:
    """How a file is cut: the method, and the offset in bytes at which each piece ends."""

    chunker: Chunker
    ends: tuple[int, ...]


def plan_cuts(
    source: RandomAccess, *, target: int = DEFAULT_TARGET, maximum: int = DEFAULT_MAX
) -> CutPlan:
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
            hint="--target must not be larger than --max-size",
        )
    try:
        ends = _bounded(_tensor_ends(source, target, maximum), source.size, target)
        return CutPlan(Chunker(BY_TENSORS, VERSION, target, maximum), ends)
    except FramingError:
        ends = _bounded(_fixed_ends(source.size, target), source.size, target)
        return CutPlan(Chunker(FIXED, VERSION, target, maximum), ends)


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
