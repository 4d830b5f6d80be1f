"""Model files before a commit: do locks and pieces fit, and does a git host take them?

What git has staged is judged as it is staged: the work tree may say otherwise. Files that git does
not know are judged as they lie on the disk.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trufor_onnx.chunking.causes import wrong_content
from trufor_onnx.chunking.external_data import (
    ExternalFileError,
    beside,
    external_if_onnx,
    is_plain,
    same_files,
)
from trufor_onnx.chunking.folders import (
    FOLDER_SUFFIX,
    LOCK_SUFFIX,
    MANIFEST_SUFFIX,
    MODEL_SUFFIX,
    default_folder,
    open_folder,
)
from trufor_onnx.chunking.git import ATTRIBUTES, KEEP_BYTES, GitError
from trufor_onnx.chunking.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest, Piece
from trufor_onnx.chunking.manifest import decode as decode_manifest
from trufor_onnx.chunking.verifying import verify
from trufor_onnx.errors import (
    ChunkingError,
    HiddenManifestError,
    LockError,
    ManifestError,
    ParityError,
)
from trufor_onnx.export.lock import LARGEST_LOCK, decode, file_entry, lock_path, read_lock
from trufor_onnx.parity.gate.index import Index

DATA_SUFFIX = ".onnx.data"
HOST_LIMIT = 100_000_000  # bytes; git hosts refuse larger files
_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\n")
_LONGEST_POINTER = 1024  # bytes, by git-lfs's own description of the format


def check_files(paths: Sequence[Path], most_bytes: int = HOST_LIMIT) -> list[str]:
    """Everything that is wrong with files on the disk: large ones, ONNX files, locks and pieces.

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
            problems += _large(path, path.stat().st_size, most_bytes)
            if path.parent.suffix == FOLDER_SUFFIX:
                folders[path.parent] = None
            elif path.suffix == MODEL_SUFFIX:
                problems += _model(path)
            elif path.name.endswith(DATA_SUFFIX):
                problems += _data(path)
            elif path.name.endswith(LOCK_SUFFIX):
                problems += _lock(path)
        except OSError as error:
            raise ParityError(f"{path}: cannot be read ({error.strerror})", hint="") from error
    for folder in folders:
        problems += _pieces(folder)
    return list(dict.fromkeys(problems))


def _large(path: Path | PurePosixPath, size: int, most_bytes: int) -> Iterator[str]:
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
        yield _unproved(path)
    elif not same_files(file_entry(path), lock["file"]):
        yield f"{path}: not the file that its lock describes"


def _unproved(path: Path) -> str:
    return f"{path}: {lock_path(path).name} is not there: nobody proved whose weights these are"


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


@dataclass(frozen=True)
class Staged:
    """What was found: what is wrong, and what is right here but may not be in a clone."""

    problems: tuple[str, ...]
    notes: tuple[str, ...]


def check_index(
    index: Index, named: Iterable[PurePosixPath] = (), most_bytes: int = HOST_LIMIT
) -> Staged:
    """Everything that is wrong with what the next commit changes, as it is staged.

    A file that is removed counts too: what is left must still fit. So does a line in a
    ``.gitattributes``, which decides whether pieces reach a clone as they are.

    Args:
        index: what git has staged.
        named: files that are judged though the commit does not change them.
        most_bytes: what no file may exceed, of whatever ending.

    Raises:
        ParityError: git does not give what is staged.
    """
    paths = sorted(index.changed | set(named))
    problems: list[str] = []
    notes: list[str] = []
    try:
        for path in paths:
            if path in index.files and not index.files[path].kind:
                problems += _large(path, index.size(path), most_bytes)
        for model in _models(paths):
            problems += _staged_model(index, model)
        for folder in _folders(index, paths):
            found = _StagedFolder(index, folder)
            problems += found.problems()
            notes += found.notes()
    except GitError as error:
        raise ParityError(
            f"git does not say what is staged: {error}", hint="git status says more"
        ) from error
    return Staged(tuple(dict.fromkeys(problems)), tuple(dict.fromkeys(notes)))


def _models(paths: Iterable[PurePosixPath]) -> list[PurePosixPath]:
    """The ONNX files that changes of themselves, of their locks or of their tensors concern."""
    found = dict.fromkeys(path for path in paths if path.suffix.lower() == MODEL_SUFFIX)
    for path in paths:
        for suffix in (LOCK_SUFFIX, DATA_SUFFIX):
            if path.name.endswith(suffix):
                stem = path.name.removesuffix(suffix)
                found[path.with_name(stem + MODEL_SUFFIX)] = None
    return list(found)


def _folders(index: Index, paths: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """The folders of pieces that changes in them, of a lock or of attributes concern."""
    concerned = {
        parent for path in paths for parent in path.parents if parent.suffix == FOLDER_SUFFIX
    }
    concerned |= {model.with_suffix(FOLDER_SUFFIX) for model in _models(paths)}
    for path in paths:
        if path.name == ATTRIBUTES:
            concerned |= {
                other.parent
                for other in index.files
                if other.parent.suffix == FOLDER_SUFFIX and other.is_relative_to(path.parent)
            }
    there = {parent for path in index.files for parent in path.parents}
    return sorted(concerned & there)


def _staged_model(index: Index, path: PurePosixPath) -> Iterator[str]:
    lock: dict[str, object] | None = None
    try:
        lock = _staged_lock(index, path)
    except LockError as error:
        yield error.problem
        return
    if path not in index.files:
        data = path.with_name(path.name.removesuffix(MODEL_SUFFIX) + DATA_SUFFIX)
        if data in index.files:
            yield f"{data}: holds tensors of {path.name}, which is not staged"
        return
    if index.files[path].kind:
        yield f"{path}: {index.files[path].kind} is staged in place of the file"
    elif lock is None:
        yield _unproved(Path(path))
    elif _content_sha256(index, path) != _sha256_of(lock):
        yield f"{path}: not the file that its lock describes, as staged"
    else:
        yield from _staged_tensors(index, path, beside(lock["file"]))


def _staged_tensors(index: Index, model: PurePosixPath, wanted: Mapping[str, str]) -> Iterator[str]:
    """The files beside a model that hold its tensors: staged with it, as its lock has them."""
    for name, sha256 in wanted.items():
        if not is_plain(name):
            yield f"{model}: its lock names {name!a}, which is no file beside it"
            continue
        path = model.with_name(name)
        blob = index.files.get(path)
        if blob is None:
            yield f"{path}: not staged, {model.name} keeps tensors in it: git add it"
        elif blob.kind:
            yield f"{path}: {blob.kind} is staged in place of the file"
        elif _content_sha256(index, path) != sha256:
            yield f"{path}: not the file that the lock of {model.name} describes, as staged"


def _staged_lock(index: Index, model: PurePosixPath) -> dict[str, object] | None:
    path = PurePosixPath(lock_path(Path(model)))
    if path not in index.files:
        return None
    if index.files[path].kind:
        raise LockError(f"{path}: {index.files[path].kind} is staged in place of the lock", hint="")
    return decode(index.read(path, LARGEST_LOCK + 1), Path(model))


def _sha256_of(lock: dict[str, object]) -> str:
    file = lock["file"]
    assert isinstance(file, dict)  # `decode` has looked
    return str(file["sha256"])


def _content_sha256(index: Index, path: PurePosixPath) -> str:
    """The digest of what a clone gets: that of the content, where git-lfs keeps it elsewhere."""
    pointer = _POINTER.match(index.read(path, _LONGEST_POINTER))
    if pointer and index.rewritten([path], strict=False).get(path) == "filter: lfs":
        return pointer[1].decode()
    return index.sha256(path)


class _StagedFolder:
    """A folder of pieces as it is staged."""

    def __init__(self, index: Index, folder: PurePosixPath) -> None:
        self._index = index
        self._folder = folder
        self._files = [path for path in index.files if folder in path.parents]
        regular = [path for path in self._files if not index.files[path].kind]
        self._changed_by = index.rewritten(regular, strict=index.converts)
        self._unmarked = index.rewritten(regular, strict=True)

    def problems(self) -> Iterator[str]:
        """Everything that is wrong."""
        manifests: dict[PurePosixPath, Manifest] = {}
        for path in self._files:
            if path.parent == self._folder and path.suffix == MANIFEST_SUFFIX:
                try:
                    manifests[path] = self._manifest(path)
                except ManifestError as error:
                    yield f"{path}: {error.problem}"
        if self._folder / MANIFEST_NAME not in self._index.files and not manifests:
            yield f"{self._folder}: pieces are staged, and no {MANIFEST_NAME}"
        wanted = {
            self._folder / piece.file_name: piece
            for manifest in manifests.values()
            for piece in manifest.chunks
        }
        for path, piece in wanted.items():
            yield from self._piece(path, piece)
        for path in self._files:
            if path not in wanted and path.suffix != MANIFEST_SUFFIX:
                yield f"{path}: staged, and no part of what a manifest here lists"
        yield from self._lock(manifests.get(self._folder / MANIFEST_NAME))
        if self._changed_by:
            path, reason = next(iter(self._changed_by.items()))
            yield (
                f"{self._folder}: git may change its bytes ({reason} for {path.name}): say "
                f"`*{FOLDER_SUFFIX}/** {KEEP_BYTES}` in {ATTRIBUTES}, then git add --renormalize"
            )

    def notes(self) -> Iterator[str]:
        """What is right here, and up to the settings of a clone."""
        if self._unmarked and not self._changed_by:
            yield (
                f"{self._folder}: a clone on Windows may change line ends; stage a {ATTRIBUTES} "
                f"with `*{FOLDER_SUFFIX}/** {KEEP_BYTES}`"
            )

    def _manifest(self, path: PurePosixPath) -> Manifest:
        kind = self._index.files[path].kind
        if kind:
            raise ManifestError(f"{kind} is staged in place of the manifest")
        try:
            return decode_manifest(self._index.read(path, MAX_MANIFEST_BYTES + 1))
        except HiddenManifestError as error:
            if path in self._changed_by:
                raise ManifestError(f"{error.problem} ({self._changed_by[path]})") from error
            raise

    def _piece(self, path: PurePosixPath, piece: Piece) -> Iterator[str]:
        blob = self._index.files.get(path)
        if blob is None:
            there = (self._index.top / path).is_file()
            yield f"{path}: not staged, the manifest lists it" + (": git add it" if there else "")
        elif blob.kind:
            yield f"{path}: {blob.kind} is staged in place of the piece"
        elif self._index.size(path) != piece.size or self._index.sha256(path) != piece.sha256:
            reason = self._changed_by.get(path)
            why = f"git changed it ({reason})" if reason else self._cause(path, piece)
            yield f"{path}: what is staged is not the piece" + (f": {why}" if why else "")

    def _cause(self, path: PurePosixPath, piece: Piece) -> str:
        with tempfile.TemporaryFile() as copy:
            for block in self._index.blocks(path):
                copy.write(block)
            copy.flush()
            return wrong_content(copy.fileno(), self._index.size(path), piece.size).text

    def _lock(self, manifest: Manifest | None) -> Iterator[str]:
        try:
            lock = _staged_lock(self._index, self._folder.with_suffix(MODEL_SUFFIX))
        except LockError as error:
            yield error.problem
            return
        if lock is None or manifest is None:
            return
        found, wanted = manifest.file.sha256, _sha256_of(lock)
        if found != wanted:
            yield f"{self._folder}: the pieces of {found[:16]}, its lock is of {wanted[:16]}"
