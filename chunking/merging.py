"""Put the pieces of a file back together, or leave everything as it was."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from trufor_onnx.chunking.acceptance import begins_with, check_against_lock, check_content, locks_of
from trufor_onnx.chunking.causes import impostor, is_zero
from trufor_onnx.chunking.folders import (
    JoinedPieces,
    OpenFile,
    PieceFolder,
    default_folder,
    open_folder,
    opened,
)
from trufor_onnx.chunking.manifest import Manifest, WholeFile, release_id
from trufor_onnx.chunking.pipeline import HashingCopy, OnBytes, Writeback
from trufor_onnx.chunking.verifying import FaultKind, IntegrityError, misplaced, verify
from trufor_onnx.documents import parse_json
from trufor_onnx.errors import (
    ChunkingError,
    ContentError,
    ReplacementError,
    SourceChangedError,
    UnsafeFileError,
    command,
)
from trufor_onnx.files import (
    PendingFile,
    atomic_write,
    explained,
    fsync_folder,
    kind_of,
    open_regular,
    sha256_open,
)

LARGEST_RECORD = 4096  # bytes


def default_file(folder: PieceFolder) -> Path:
    """Where the merged file goes unless somebody says: beside the folder, under its own name."""
    path = folder.path if folder.path.name not in ("", "..") else folder.path.resolve()
    return path.parent / folder.manifest.file.name


def is_merged(file: Path, manifest: Manifest) -> bool:
    """Whether the file is there already, every byte of it.

    A link is not: it would be replaced by the file itself.

    Raises:
        UnsafeFileError: a folder, a device or the like stands there, which nothing may replace.
        StorageError: what stands there cannot be read.
    """
    with explained("read", file):
        try:
            status = file.lstat()
        except FileNotFoundError:
            return False
    if stat.S_ISLNK(status.st_mode):
        return False
    if not stat.S_ISREG(status.st_mode):
        kind = kind_of(status.st_mode)
        hint = f"--out {file / manifest.file.name}" if kind == "folder" else "--out FILE"
        raise UnsafeFileError(f"{file} is a {kind}, not a file to write", hint=f"use {hint}")
    if status.st_size != manifest.file.size:
        return False
    with opened(file) as source, explained("read", file):
        return sha256_open(source.descriptor) == manifest.file.sha256


def refuse_surprise(folder: PieceFolder, file: Path) -> None:
    """Refuse to replace a file whose name only the manifest chose.

    The name in a manifest is not to be trusted with ``Makefile`` or another project file. It is
    used without asking where nothing stands, or where it agrees with the folder's name.

    Raises:
        ChunkingError: the file exists, and the folder's name does not announce it.
    """
    announced = default_folder(file).name == folder.path.resolve().name
    if not announced and (file.exists() or file.is_symlink()):
        raise ChunkingError(
            f"{file} exists and is not what {folder.path} holds; the folder's name does not "
            "announce a file of this name, so it is not replaced unasked",
            hint=f"say so: {command('merge', folder.path, '--out', file, '--force')}",
        )


def check_destination(folder: PieceFolder, file: Path) -> None:
    """Refuse to replace a file that nothing could bring back, or that its lock confirms.

    What an earlier merge wrote there may go, as `record` remembers it; so may a pointer, a web
    page, an empty file, zeros and a copy of the same file that ended early. A link is no file.

    Raises:
        ReplacementError: another file stands there, or the lock beside it is of another file.
        StorageError: what stands there cannot be read.
    """
    manifest = folder.manifest
    with suppress(ContentError):  # a lock that cannot be read says nothing against the pieces
        check_against_lock(
            folder.manifest_path,
            manifest.file.size,
            lambda: manifest.file.sha256,
            locks_of(manifest.file.name, file),
        )
    if file.is_symlink() or not file.exists():
        return
    with opened(file) as there, explained("read", file):
        if _worthless(there, folder) or _recorded(there):
            return
        sha256 = sha256_open(there.descriptor)
    raise ReplacementError(
        f"{file} (SHA-256 {sha256[:16]}, {there.size} bytes) is not what {folder.path} holds "
        f"({manifest.file.sha256[:16]}, {manifest.file.size} bytes), and no merge wrote it: it "
        "would be lost",
        hint="keep it under another name, or replace it: "
        + command("merge", folder.manifest_path, "--out", file, "--force"),
    )


def identity(file: Path) -> tuple[int, ...] | None:
    """What changes when another file takes this one's place; None where there is none."""
    try:
        status = file.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def record_path(file: Path) -> Path:
    """Where it is remembered that a merge wrote a file: ``.net.onnx.merged.json`` beside it."""
    return file.with_name(f".{file.name}.merged.json")


def record(file: Path, whole: WholeFile) -> None:
    """Remember what a merge wrote, so that the next one may replace it.

    Where that cannot be written the next one asks, so nothing is raised.
    """
    data = json.dumps({"sha256": whole.sha256, "size": whole.size})
    with suppress(OSError):
        atomic_write(record_path(file), f"{data}\n".encode())


def _recorded(there: OpenFile) -> bool:
    try:
        with os.fdopen(open_regular(record_path(there.path)), "rb") as stream:
            said = parse_json(stream.read(LARGEST_RECORD))
        return bool(there.size == said["size"] and said["sha256"] == sha256_open(there.descriptor))
    except (OSError, ValueError, TypeError, KeyError, RecursionError, ChunkingError):
        return False


def _worthless(there: OpenFile, folder: PieceFolder) -> bool:
    """Whether nothing is lost with a file: it only stands in its place, or was cut short."""
    return bool(
        impostor(there.descriptor, there.size, there.path.name).text
        or is_zero(there.descriptor)
        or begins_with(JoinedPieces(folder.path, folder.manifest), there)
    )


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
