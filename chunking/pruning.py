"""Remove the pieces that no release needs any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trufor_onnx.chunking.acceptance import still_needed
from trufor_onnx.chunking.folders import folder_lock, manifests_in, open_folder
from trufor_onnx.chunking.manifest import MANIFEST_NAME, Manifest, load
from trufor_onnx.chunking.verifying import PART_NAME, PIECE_NAME
from trufor_onnx.errors import ChunkingError, ReplacementError
from trufor_onnx.files import explained, fsync_folder


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


def prune(
    folder: Path, keep: Sequence[Path], *, dry_run: bool = False, force: bool = False
) -> Pruned:
    """Remove pieces that are in none of the given manifests, and what killed runs left behind.

    Only files with the name of a piece or of a half-written one are touched. All manifests are
    read before anything is removed. Pieces that a manifest in the folder lists are kept
    too, named or not: what is in the folder stays mergeable.

    Args:
        folder: the folder of pieces.
        keep: the manifests of the releases to keep, or their folders; at least one.
        dry_run: only say what would be removed.
        force: remove them though the lock beside the folder is of none of these releases.

    Raises:
        ReplacementError: the lock beside the folder, or a manifest in it that cannot be read
            here, may be of the very pieces that would go; nothing was removed.
        ManifestError: one of the manifests is not right; nothing was removed.
        ChunkingError: no manifest is given, or the folder cannot be read or written.
    """
    if not keep:
        raise ChunkingError("no manifest to keep", hint="name at least one: --keep MANIFEST")
    kept = [open_folder(path).manifest for path in keep]
    with explained("prune", folder), folder_lock(folder, exclusive=True):
        own = folder / MANIFEST_NAME
        if own.exists() or own.is_symlink():
            load(own)  # a broken one would protect nothing: better to refuse
        kept += manifests_in(folder).values()
        needed = frozenset().union(*(manifest.piece_names for manifest in kept))
        unneeded = [
            path
            for path in sorted(folder.iterdir())
            if path.name not in needed
            and (PIECE_NAME.fullmatch(path.name) or PART_NAME.fullmatch(path.name))
            and (path.is_symlink() or not path.is_dir())  # never ours; `verify` reports it
        ]
        if not force and any(PIECE_NAME.fullmatch(path.name) for path in unneeded):
            _refuse_needed(folder, kept)
        size = sum(path.lstat().st_size for path in unneeded)
        if not dry_run:
            for path in unneeded:
                path.unlink()
            if unneeded:
                fsync_folder(folder)
    return Pruned(folder, tuple(path.name for path in unneeded), size, dry_run)


def _refuse_needed(folder: Path, kept: Sequence[Manifest]) -> None:
    reason = still_needed(folder, kept)
    if reason:
        raise ReplacementError(
            f"pieces in {folder} may still be needed: {reason}; nothing was removed",
            hint="name the manifest of that file with --keep (git may have it), or, if the lock is "
            "out of date, say --force",
        )
