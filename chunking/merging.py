"""Put the pieces of a file back together, or leave everything as it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from chunking.acceptance import check_content
from chunking.atomic import PendingFile, fsync_folder
from chunking.destination import (
    check_destination,
    default_file,
    identity,
    is_merged,
    record,
    refuse_surprise,
)
from chunking.errors import SourceChangedError
from chunking.faults import FaultKind, IntegrityError
from chunking.folders import PieceFolder, open_folder
from chunking.manifest import Manifest
from chunking.manifest_json import release_id
from chunking.pipeline import HashingCopy, OnBytes
from chunking.sources import OpenFile, opened
from chunking.storage import explained
from chunking.verifying import misplaced, verify
from chunking.writeback import Writeback


@dataclass(frozen=True)
class Merged:
    """What `merge` did.

    Attributes:
        folder: the folder of pieces.
        file: the merged file.
        manifest: what it was merged by.
        release_id: the SHA-256 of the manifest's bytes.
        written: False if the file was there already and right, so that nothing was touched.
    """

    folder: Path
    file: Path
    manifest: Manifest
    release_id: str
    written: bool


def merge(
    path: Path,
    out: Path | None = None,
    *,
    force: bool = False,
    on_bytes: OnBytes | None = None,
) -> Merged:
    """Merge a folder of pieces, verified byte by byte, into a file that appears in one step.

    Every piece's size and SHA-256, and the SHA-256 of the whole, are computed on the buffers that
    are written. Space is reserved first; the file is fsynced before it takes its name, and its
    folder after. Whatever fails, a file that stood at the destination stays as it was. Another
    file than an earlier merge wrote there is only replaced with ``force``.

    Args:
        path: the folder, or a manifest in it.
        out: the file to write; by default the manifest's name beside the folder.
        force: replace whatever file stands there, and do not ask the lock beside it.
        on_bytes: progress; in all the file's size, or nothing if it was there already.

    Raises:
        IntegrityError: pieces are missing or wrong; it lists all that is.
        ManifestError: there is no right manifest.
        ReplacementError: another file would be lost, or the lock is of another.
        ContentError: what the pieces hold is only a pointer, a web page or the like.
        ChunkingError: the destination is not fit, or the file system refused.
    """
    folder = open_folder(path)
    file = out or default_file(folder)
    already = is_merged(file, folder.manifest)
    if already:
        with opened(file) as there:
            check_content(there, folder.manifest.file.name, force=True)
    else:
        if out is None and not force:
            refuse_surprise(folder, file)
        if misplaced(folder):
            raise _broken(folder)
        before = identity(file)
        if not force:
            check_destination(folder, file)
        if not _write(folder, file, before, force, on_bytes):
            raise _broken(folder)
        record(file, folder.manifest.file)
    release = release_id(folder.manifest)
    return Merged(folder.path, file, folder.manifest, release, written=not already)


def _write(
    folder: PieceFolder,
    file: Path,
    before: tuple[int, ...] | None,
    force: bool,
    on_bytes: OnBytes | None,
) -> bool:
    """Write the file if the pieces are right; returns whether they are.

    ``before`` is the identity of what may be replaced.
    """
    size = folder.manifest.file.size
    with explained("write", file, needed=size):
        pending = PendingFile(file.parent, reserve=size)
        try:
            if not _copy_verified(folder, pending.stream, on_bytes):
                return False
            pending.stream.flush()
            content = OpenFile(folder.path, pending.stream.fileno(), size)
            check_content(content, folder.manifest.file.name, force=force or before is None)
            if not force and identity(file) != before and not is_merged(file, folder.manifest):
                check_destination(folder, file)
            pending.publish(file)
        finally:
            pending.discard()
        fsync_folder(file.parent)
    return True


def _copy_verified(folder: PieceFolder, sink: BinaryIO, on_bytes: OnBytes | None) -> bool:
    """Copy all pieces to the sink; returns whether every digest is as it should be."""
    manifest = folder.manifest
    digests = []
    with HashingCopy() as copy, Writeback(sink.fileno()) as writeback:
        for piece in manifest.chunks:
            with opened(folder.path / piece.file_name) as source:
                digests.append(copy.copy_piece(source, 0, piece.size, sink, on_bytes))
            writeback.wrote(piece.size)
        copy.finish()
    pairs = zip(manifest.chunks, digests, strict=True)
    right = all(digest.result() == piece.sha256 for piece, digest in pairs)
    return right and copy.whole == manifest.file.sha256


def _broken(folder: PieceFolder) -> IntegrityError | SourceChangedError:
    """The error for pieces that did not merge: everything that is wrong with them."""
    checked = verify(folder.manifest_path, full=True)
    faults = [
        fault for fault in checked.faults if fault.kind not in (FaultKind.UNLISTED, FaultKind.CUTS)
    ]
    if faults:
        return IntegrityError(f"{folder.path} cannot be merged; nothing was written", faults)
    return SourceChangedError(f"{folder.path} changed while it was read", hint="run it again")
