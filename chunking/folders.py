"""Finding folders of pieces and their manifests."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trufor_onnx.chunking.manifest import MANIFEST_NAME, Manifest, load, shown
from trufor_onnx.errors import ChunkingError, ManifestError, StorageError, command
from trufor_onnx.files import explained

FOLDER_SUFFIX, MODEL_SUFFIX, MANIFEST_SUFFIX = ".chunks", ".onnx", ".json"
LOCK_SUFFIX = ".lock.json"  # beside a model: where it and its weights are from
_NO_LOCKS_HERE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


@dataclass(frozen=True)
class PieceFolder:
    """A folder of pieces, and one manifest of what they make up."""

    path: Path
    manifest_path: Path
    manifest: Manifest


def open_folder(path: Path) -> PieceFolder:
    """Load the manifest of a folder of pieces.

    Args:
        path: the folder, or a manifest in it of any name (a folder may hold several releases).

    Raises:
        ManifestError: the manifest is missing or not right.
        ChunkingError: the path is missing or cannot be read.
    """
    with explained("read", path):
        is_folder = path.is_dir()
        folder, manifest_path = (path, path / MANIFEST_NAME) if is_folder else (path.parent, path)
        if is_folder and not manifest_path.is_symlink() and not manifest_path.exists():
            raise ManifestError(
                f"{path} holds no {MANIFEST_NAME}",
                hint="it is no folder of pieces, or a `split` into it did not end: split again",
            )
    return PieceFolder(folder, manifest_path, load(manifest_path))


def default_folder(file: Path) -> Path:
    """Where the pieces of a file go unless somebody says: ``NAME.onnx`` to ``NAME.chunks``."""
    return file.with_name(file.stem + FOLDER_SUFFIX)


def expand_files(path: Path) -> list[Path]:
    """The files that ``split PATH`` means: the file itself, or all ``*.onnx`` of a folder."""
    if not path.is_dir():
        return [path]
    return _all_in(path, MODEL_SUFFIX, "make them with `make export`, or name a file to split")


def expand_folders(path: Path) -> list[Path]:
    """The folders that a command on ``PATH`` means: itself, or all ``*.chunks`` in it.

    A folder of pieces is one with a manifest or with the suffix; a file is taken as a manifest.
    """
    if not path.is_dir() or path.suffix == FOLDER_SUFFIX or (path / MANIFEST_NAME).exists():
        return [path]
    return _all_in(
        path,
        FOLDER_SUFFIX,
        f"get the folders of pieces, or make them: {command('split', path)}",
    )


def manifests_in(folder: Path) -> dict[str, Manifest]:
    """The right manifests in a folder, by name; what is none stays unlisted: `verify` reports it.

    Raises:
        OSError: the folder cannot be listed.
    """
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == MANIFEST_SUFFIX:
            with suppress(ChunkingError):
                found[path.name] = load(path)
    return found


def listed_in(folder: Path) -> frozenset[str]:
    """The files that the right manifests in a folder account for, themselves included.

    Raises:
        OSError: the folder cannot be listed.
    """
    found = manifests_in(folder)
    return frozenset(found).union(*(manifest.piece_names for manifest in found.values()))


def _all_in(folder: Path, suffix: str, hint: str) -> list[Path]:
    with explained("list", folder):
        found = sorted(path for path in folder.iterdir() if path.name.endswith(suffix))
    if not found:
        raise ChunkingError(f"nothing to do: {shown(str(folder))} holds no *{suffix}", hint=hint)
    return found


@contextmanager
def folder_lock(folder: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold the lock for the block. It ends with the process, also a killed one.

    Where the file system has no locks (some network disks) nothing is held.

    Raises:
        StorageError: another process holds it in a way that excludes this one.
        OSError: the folder cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(
                f"another process is working in {folder}",
                hint="wait until its split or prune has ended, then run this again",
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
        yield
    finally:
        os.close(descriptor)
