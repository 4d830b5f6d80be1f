"""Model files before a commit: do locks and pieces fit, and does a git host take them?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from chunking.errors import ChunkingError
from chunking.folders import FOLDER_SUFFIX, MODEL_SUFFIX, default_folder, open_folder
from chunking.verifying import verify
from export.errors import LockError
from export.external_data import ExternalFileError, external_if_onnx, same_files
from export.lock import file_entry, lock_path, read_lock
from parity.errors import ParityError

LOCK_SUFFIX, DATA_SUFFIX = ".lock.json", ".onnx.data"
HOST_LIMIT = 100_000_000  # bytes; git hosts refuse larger files


def check_files(paths: Sequence[Path], most_bytes: int = HOST_LIMIT) -> list[str]:
    """Everything that is wrong with ONNX files, locks and pieces; other files are left alone.

    Args:
        paths: files; a piece or a manifest stands for its whole folder.
        most_bytes: what no file may exceed.

    Raises:
        ParityError: a path is not there, or cannot be read.
    """
    problems: list[str] = []
    folders: dict[Path, None] = {}
    for path in paths:
        if not path.is_file():
            raise ParityError(f"no file {path}", hint="name staged files")
        try:
            if path.parent.suffix == FOLDER_SUFFIX:
                folders[path.parent] = None
                problems += _large(path, most_bytes)
            elif path.suffix == MODEL_SUFFIX:
                problems += [*_large(path, most_bytes), *_model(path)]
            elif path.name.endswith(DATA_SUFFIX):
                problems += [*_large(path, most_bytes), *_data(path)]
            elif path.name.endswith(LOCK_SUFFIX):
                problems += _lock(path)
        except OSError as error:
            raise ParityError(f"{path}: cannot be read ({error.strerror})", hint="") from error
    for folder in folders:
        problems += _pieces(folder)
    return list(dict.fromkeys(problems))


def _large(path: Path, most_bytes: int) -> Iterator[str]:
    size = path.stat().st_size
    if size > most_bytes:
        yield f"{path}: {size:,} bytes, git hosts refuse more than {most_bytes:,}: split it"


def _model(path: Path) -> Iterator[str]:
    """An ONNX file without a lock that fits is of nobody knows what."""
    try:
        lock = read_lock(path)
    except LockError as error:
        yield error.problem
        return
    try:
        external_if_onnx(path)
    except ExternalFileError as error:
        yield error.problem
        return
    if lock is None:
        yield f"{path}: {lock_path(path).name} is not there: nobody proved whose weights these are"
    elif not same_files(file_entry(path), lock["file"]):
        yield f"{path}: not the file that its lock describes"


def _data(path: Path) -> Iterator[str]:
    """A file that holds a model's tensors, together with the model."""
    model = path.with_name(path.name.removesuffix(DATA_SUFFIX) + MODEL_SUFFIX)
    if model.is_file():
        yield from _model(model)
    else:
        yield f"{path}: holds tensors of {model.name}, which is not there"


def _lock(path: Path) -> Iterator[str]:
    """A lock that can be read, and fits what lies beside it."""
    model = path.with_name(path.name.removesuffix(LOCK_SUFFIX) + MODEL_SUFFIX)
    if model.is_file():
        yield from _model(model)
        return
    try:
        lock = read_lock(model)
    except LockError as error:
        yield error.problem
        return
    if lock is not None and default_folder(model).is_dir():
        yield from _fits(default_folder(model), lock["file"]["sha256"])


def _pieces(folder: Path) -> Iterator[str]:
    """Pieces that are whole, and are those of the lock beside their folder."""
    try:
        yield from (f"{folder}: {fault}" for fault in verify(folder).faults)
        lock = read_lock(folder.with_suffix(MODEL_SUFFIX))
    except (ChunkingError, LockError) as error:
        yield error.problem
        return
    if lock is not None:
        yield from _fits(folder, lock["file"]["sha256"])


def _fits(folder: Path, sha256: str) -> Iterator[str]:
    try:
        found = open_folder(folder).manifest.file.sha256
    except ChunkingError as error:
        yield error.problem
        return
    if found != sha256:
        yield f"{folder}: the pieces of {found[:16]}, its lock is of {sha256[:16]}"
