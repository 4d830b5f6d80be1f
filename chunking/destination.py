"""Where a merged file goes, and whether it may go there."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path

from chunking.acceptance import begins_with, check_against_lock, locks_of
from chunking.atomic import atomic_write
from chunking.causes import impostor, is_zero
from chunking.errors import (
    ChunkingError,
    ContentError,
    ReplacementError,
    UnsafeFileError,
    command,
)
from chunking.folders import PieceFolder, default_folder
from chunking.hashing import sha256_open
from chunking.manifest import Manifest, WholeFile
from chunking.sources import JoinedPieces, OpenFile, opened
from chunking.storage import explained, kind_of, open_regular

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
            said = json.loads(stream.read(LARGEST_RECORD))
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
