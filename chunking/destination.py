"""Where a merged file goes, and whether it may go there."""

from __future__ import annotations

import stat
from pathlib import Path

from chunking.errors import ChunkingError, UnsafeFileError, command
from chunking.folders import PieceFolder, default_folder
from chunking.hashing import sha256_open
from chunking.manifest import Manifest
from chunking.sources import opened
from chunking.storage import explained, kind_of


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
            hint=f"say so: {command('merge', folder.path, '--out', file)}",
        )
