"""Check a folder of pieces and report everything that is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from chunking.faults import Fault
from chunking.folder_check import check_cuts, check_whole, find_unlisted
from chunking.folders import PieceFolder, open_folder
from chunking.hashing import BLOCK_BYTES
from chunking.manifest import Manifest
from chunking.manifest_json import release_id
from chunking.parallel import workers
from chunking.piece_check import check_content, check_place
from chunking.pipeline import OnBytes
from chunking.sources import JoinedPieces
from chunking.storage import explained
from chunking.tensor_map import map_tensors


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        folder: the folder of pieces.
        manifest: what it should hold.
        release_id: the SHA-256 of the manifest's bytes.
        full: whether the whole file's digest and the cuts were checked too.
        faults: all that is wrong, in the order of the pieces; empty if nothing is.
    """

    folder: Path
    manifest: Manifest
    release_id: str
    full: bool
    faults: tuple[Fault, ...]


def verify(path: Path, *, full: bool = False, on_bytes: OnBytes | None = None) -> Verification:
    """Check every piece's place, size and SHA-256, and that nothing else lies in the folder.

    Args:
        path: the folder, or a manifest in it.
        full: also join the pieces in memory block by block and check the whole file's SHA-256,
            and that the manifest's cuts are those that `split` makes.
        on_bytes: progress, called from several threads; in all the file's size, twice if full.

    Raises:
        ManifestError: there is no right manifest to check against.
        StorageError: the folder cannot be read.
    """
    folder = open_folder(path)
    pieces = folder.manifest.chunks
    index_of = {piece.sha256: index for index, piece in enumerate(pieces)}

    def check(index: int) -> Fault | None:
        return check_content(folder.path, index, pieces[index], index_of, tick)

    with workers(on_bytes) as (pool, tick):
        whole = pool.submit(_whole_digest, folder, tick) if full else None
        faults = [fault for fault in pool.map(check, range(len(pieces))) if fault]
        if whole and not faults:
            faults += check_whole(folder.manifest, whole.result())
            faults += check_cuts(folder)
    faults = _name_tensors(folder, faults)
    with explained("list", folder.path):
        faults += find_unlisted(folder)
    return Verification(
        folder.path, folder.manifest, release_id(folder.manifest), full, tuple(faults)
    )


def misplaced(folder: PieceFolder) -> bool:
    """Whether any piece is missing, no regular file or of another size; reads no content."""
    pieces = enumerate(folder.manifest.chunks)
    return any(check_place(folder.path, index, piece) for index, piece in pieces)


def _name_tensors(folder: PieceFolder, faults: list[Fault]) -> list[Fault]:
    """Add to each fault of a piece the tensors in it, as far as the framing can be followed."""
    if not any(fault.index is not None for fault in faults):
        return faults
    with closing(JoinedPieces(folder.path, folder.manifest)) as source:
        names = map_tensors(source, folder.manifest.chunks).names
    return [
        fault if fault.index is None else replace(fault, tensors=names[fault.index])
        for fault in faults
    ]


def _whole_digest(folder: PieceFolder, tick: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    with closing(JoinedPieces(folder.path, folder.manifest)) as source:
        for position in range(0, source.size, BLOCK_BYTES):
            block = source.read_at(position, BLOCK_BYTES)
            digest.update(block)
            tick(len(block))
    return digest.hexdigest()
