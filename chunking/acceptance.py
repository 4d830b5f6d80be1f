"""Is a file what its name, the lock beside it and what is in the folder say that it is?"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trufor_onnx.chunking.causes import impostor, is_zero, line_ends_added, no_model
from trufor_onnx.chunking.folders import (
    LOCK_SUFFIX,
    MANIFEST_SUFFIX,
    MODEL_SUFFIX,
    JoinedPieces,
    OpenFile,
)
from trufor_onnx.chunking.framing import missing_part, records
from trufor_onnx.chunking.manifest import MANIFEST_NAME, Manifest, load
from trufor_onnx.documents import parse_json
from trufor_onnx.errors import (
    ChunkingError,
    ContentError,
    FramingError,
    HiddenManifestError,
    ReplacementError,
)
from trufor_onnx.files import BLOCK_BYTES, explained, format_size, open_regular

LARGEST_LOCK = 16 << 20  # bytes
# A retrained file is as long as the old one, to some bytes of what it says about itself.
LEAST_SHARE = 0.98
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class LockedFile:
    """The file that a lock (``NAME.lock.json``) describes: the lock's path, size, SHA-256."""

    lock: Path
    size: int
    sha256: str


def is_model(name: str) -> bool:
    """Whether a file's name says that it is an ONNX model."""
    return name.lower().endswith(MODEL_SUFFIX)


def check_content(source: OpenFile, name: str, *, force: bool, deep: bool = False) -> None:
    """Refuse what only stands in a file's place, and an ``.onnx`` that is not a whole model.

    Args:
        source: the content.
        name: the file's name; more is known of what must be in an ``.onnx``.
        force: let pass what is only not whole. What is recognised as no model never is one.
        deep: look into every message of the model, not into the graph's fields only.

    Raises:
        ContentError: it is not; the message says what it is.
    """
    model = is_model(name)
    with explained("read", source.path):
        cause = impostor(source.descriptor, source.size, name)
    if cause.text and (model or (source.size and not force)):
        raise ContentError(f"{source.path}: {cause.text}", hint=cause.hint)
    if not model or force:
        return
    fault = _model_fault(source, deep)
    if fault:
        with explained("read", source.path):
            cause = no_model(source.descriptor)
        probably = cause.text or f"truncated or damaged ({format_size(source.size)})"
        raise ContentError(
            f"{source.path} is not a whole ONNX model: {fault}; probably: {probably}",
            hint=cause.hint or "get or export it again; if it must be so: --force",
        )


def _model_fault(source: OpenFile, deep: bool) -> str:
    try:
        if deep:
            for _ in records(source, check_external=True):
                pass
        return missing_part(source)
    except FramingError as error:
        return error.problem


def read_lock(path: Path, name: str) -> LockedFile | None:
    """What a lock says of the file of this name, or None where there is no lock of it.

    Raises:
        ContentError: the lock cannot be read.
    """
    try:
        with os.fdopen(open_regular(path, follow_link=True), "rb") as stream:
            data = stream.read(LARGEST_LOCK + 1)
        document: Any = parse_json(data) if len(data) <= LARGEST_LOCK else None
        said = document["file"]
        found = LockedFile(path, said["size_bytes"], said["sha256"])
        if type(found.size) is not int or not _DIGEST.fullmatch(found.sha256):
            raise ValueError("no size or no digest")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError, ChunkingError) as error:
        if not is_model(name):  # some other tool's
            return None
        raise ContentError(
            f"{path} is not a lock that can be read, so nothing says which file belongs here",
            hint="get it again (git checkout, git lfs pull) or export again; to go on without it: "
            "--force",
        ) from error
    # Other files may share a model's stem: its lock is none of theirs.
    return found if is_model(name) or said.get("name") == name else None


def locks_of(name: str, *places: Path) -> list[LockedFile]:
    """What the locks beside files or folders of pieces say of the file of this name.

    Raises:
        ContentError: one of them cannot be read.
    """
    whole = (place if place.name not in ("", "..") else place.resolve() for place in places)
    paths = dict.fromkeys(place.with_suffix(LOCK_SUFFIX).absolute() for place in whole)
    return [lock for path in paths if (lock := read_lock(path, name))]


def check_against_lock(
    file: Path, size: int, digest: Callable[[], str], locks: list[LockedFile]
) -> None:
    """Refuse a file that a lock beside it contradicts.

    Args:
        file: the file.
        size: its size in bytes.
        digest: gives its SHA-256; asked only where the sizes agree.
        locks: what is said of it.

    Raises:
        ReplacementError: a lock describes another file.
    """
    for lock in locks:
        if size != lock.size:
            found, wanted = f"{size} bytes", f"{lock.size} bytes"
        elif (sha256 := digest()) != lock.sha256:
            found, wanted = f"SHA-256 {sha256[:16]}", lock.sha256[:16]
        else:
            continue
        raise ReplacementError(
            f"{file} is not the file that {lock.lock} describes ({found}, the lock: {wanted})",
            hint="get the file of the lock, or export again, which writes both; "
            "if the lock is out of date: --force",
        )


def earlier_manifest(folder: Path) -> Manifest | None:
    """The manifest in a folder of pieces; None where there is none, or nothing is left of it.

    Raises:
        HiddenManifestError: there is one that can only not be read here.
    """
    try:
        return load(folder / MANIFEST_NAME)
    except HiddenManifestError:
        raise
    except ChunkingError:
        return None


def check_replacing(source: OpenFile, folder: Path, earlier: Manifest) -> None:
    """Refuse a file that looks like a damaged copy of what a folder's manifest is of.

    Raises:
        ReplacementError: it is much smaller, a part of it, or converted.
    """
    size, whole = source.size, earlier.file.size
    if size < whole * LEAST_SHARE:
        reason = "is of a larger file"
    elif size < whole and begins_with(JoinedPieces(folder, earlier), source):
        reason = "is of a file that this one is only the first part of"
    elif not is_model(earlier.file.name) and line_ends_added(source.descriptor, size, whole):
        reason = "is of a file without CRLF line ends: they were probably converted"
    elif not is_model(earlier.file.name) and size and whole and is_zero(source.descriptor):
        reason = "is of another file, and this one holds nothing but zeros"
    else:
        return
    raise ReplacementError(
        f"{folder / MANIFEST_NAME} {reason} ({format_size(whole)}; {source.path}: "
        f"{format_size(size)})",
        hint="check the file; to replace the manifest nevertheless: --force",
    )


def begins_with(whole: JoinedPieces, part: OpenFile) -> bool:
    """Whether pieces begin with a file's content. Pieces that cannot be read begin with nothing."""
    with closing(whole), suppress(FramingError):
        return part.size <= whole.size and all(
            whole.read_at(position, BLOCK_BYTES)[: part.size - position]
            == part.read_at(position, BLOCK_BYTES)
            for position in range(0, part.size, BLOCK_BYTES)
        )
    return False


def still_needed(folder: Path, kept: Iterable[Manifest], *places: Path) -> str:
    """Why pieces that no manifest lists may still be needed, or "".

    Args:
        folder: the folder of pieces.
        kept: the manifests at hand.
        places: files beside whose locks count, as that beside the folder does.
    """
    files = [manifest.file for manifest in kept]
    for name in sorted({file.name for file in files}):
        try:
            locks = locks_of(name, folder, *places)
        except ContentError as error:
            return error.problem
        for lock in locks:
            if lock.sha256 not in {file.sha256 for file in files}:
                return f"{lock.lock} describes another file, which they may be of"
    for path in sorted(folder.iterdir()):
        if path.suffix != MANIFEST_SUFFIX:
            continue
        try:
            load(path)
        except HiddenManifestError as error:
            return f"{error.problem}, and may list them"
        except ChunkingError:
            continue
    return ""
