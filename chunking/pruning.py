"""Remove the pieces that no release needs any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chunking.atomic import fsync_folder
from chunking.errors import ChunkingError
from chunking.folder_check import PART_NAME, PIECE_NAME
from chunking.folder_lock import folder_lock
from chunking.folders import listed_in, open_folder
from chunking.manifest import MANIFEST_NAME
from chunking.manifest_json import load
from chunking.storage import explained


@dataclass(frozen=True)
class Pruned:
    """What `prune` removed, or would remove.

    Attributes:
        folder: the folder of pieces.
        removed: the names of the files, sorted.
        removed_bytes: their size together.
        dry_run: True if nothing was removed.
    """

    folder: Path
    removed: tuple[str, ...]
    removed_bytes: int
    dry_run: bool


def prune(folder: Path, keep: Sequence[Path], *, dry_run: bool = False) -> Pruned:
    """Remove pieces that are in none of the given manifests, and what killed runs left behind.

    Only files with the name of a piece or of a half-written one are touched. All manifests are
    read before anything is removed. Pieces that a manifest in the folder lists are kept
    too, named or not: what is in the folder stays mergeable.

    Args:
        folder: the folder of pieces.
        keep: the manifests of the releases to keep, or their folders; at least one.
        dry_run: only say what would be removed.

    Raises:
        ManifestError: one of the manifests is not right; nothing was removed.
        ChunkingError: no manifest is given, or the folder cannot be read or written.
    """
    if not keep:
        raise ChunkingError("no manifest to keep", hint="name at least one: --keep MANIFEST")
    needed = frozenset().union(*(open_folder(path).manifest.piece_names for path in keep))
    with explained("prune", folder), folder_lock(folder, exclusive=True):
        own = folder / MANIFEST_NAME
        if own.exists() or own.is_symlink():
            load(own)  # a broken one would protect nothing: better to refuse
        needed |= listed_in(folder)
        removed, size = [], 0
        for path in sorted(folder.iterdir()):
            if path.name in needed or not (
                PIECE_NAME.fullmatch(path.name) or PART_NAME.fullmatch(path.name)
            ):
                continue
            if path.is_dir() and not path.is_symlink():
                continue  # never ours; `verify` reports it
            removed.append(path.name)
            size += path.lstat().st_size
            if not dry_run:
                path.unlink()
        if removed and not dry_run:
            fsync_folder(folder)
    return Pruned(folder, tuple(removed), size, dry_run)
