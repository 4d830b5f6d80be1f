"""Look into a folder of pieces: which tensors lie where, and what two releases share."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from chunking.folders import open_folder
from chunking.manifest import Manifest
from chunking.manifest_json import release_id
from chunking.sources import JoinedPieces
from chunking.tensor_map import map_tensors


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
