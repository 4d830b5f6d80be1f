"""Check a folder of pieces and report everything that is wrong with it."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

from trufor_onnx.chunking.acceptance import still_needed
from trufor_onnx.chunking.causes import FETCH_AGAIN, wrong_content
from trufor_onnx.chunking.folders import (
    JoinedPieces,
    PieceFolder,
    listed_in,
    manifests_in,
    open_folder,
)
from trufor_onnx.chunking.inspecting import METHODS, VERSION, map_tensors, plan_cuts
from trufor_onnx.chunking.manifest import Manifest, Piece, release_id, shown
from trufor_onnx.chunking.pipeline import OnBytes, workers
from trufor_onnx.errors import ChunkingError, UnsafeFileError, command
from trufor_onnx.files import (
    BLOCK_BYTES,
    PART_PREFIX,
    PART_SUFFIX,
    explained,
    kind_of,
    open_regular,
    sha256_open,
)

_TENSORS_SHOWN, _FAULTS_SHOWN = 4, 20
READABLE = "check the permissions and the disk"
PIECE_NAME = re.compile(r"[0-9a-f]{64}\.chunk")
PART_NAME = re.compile(re.escape(PART_PREFIX) + r"[0-9a-f]{32}" + re.escape(PART_SUFFIX))


class FaultKind(StrEnum):
    """The kinds of fault."""

    MISSING = "missing"
    SIZE = "wrong size"
    CORRUPT = "corrupt"
    UNREADABLE = "unreadable"
    UNSAFE = "unsafe"
    UNLISTED = "unlisted"
    FILE_DIGEST = "wrong file digest"
    CUTS = "wrong cuts"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        kind: what.
        name: the file within the folder.
        index: which piece, from 0; None where it is not about a piece.
        start: the first byte of the merged file that it touches; None as above.
        end: the byte after the last; None as above.
        expected: what the manifest says (a digest, a size), where that helps.
        found: what is there.
        cause: what probably happened, or more detail.
        hint: what to do about it.
        tensors: names of the tensors that lie in these bytes, as far as they can be known.
    """

    kind: FaultKind
    name: str
    index: int | None = None
    start: int | None = None
    end: int | None = None
    expected: str = ""
    found: str = ""
    cause: str = ""
    hint: str = ""
    tensors: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = "" if self.index is None else f"piece {self.index}, bytes {self.start}-{self.end}, "
        text = f"{self.kind}: {place}{shown(self.name)[1:-1]}"
        if self.cause:
            text += f": {self.cause}"
        if self.expected or self.found:
            text += f" (expected {self.expected or 'nothing'}, found {self.found or 'nothing'})"
        if self.tensors:
            names = ", ".join(shown(name)[1:-1] for name in self.tensors[:_TENSORS_SHOWN])
            more = len(self.tensors) - _TENSORS_SHOWN
            text += f"; tensors: {names}" + (f" and {more} more" if more > 0 else "")
        return text


class IntegrityError(ChunkingError):
    """The pieces are not what the manifest says, so nothing was merged.

    Attributes:
        faults: all that is wrong.
    """

    exit_code = 1

    def __init__(self, what: str, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        lines = "".join(f"\n  {fault}" for fault in self.faults[:_FAULTS_SHOWN])
        if len(self.faults) > _FAULTS_SHOWN:
            lines += f"\n  and {len(self.faults) - _FAULTS_SHOWN} more: `verify` lists all"
        hints = dict.fromkeys(fault.hint for fault in self.faults if fault.hint)
        super().__init__(what + lines, hint="; ".join(hints))


def check_whole(manifest: Manifest, found: str) -> list[Fault]:
    """Compare the SHA-256 of all pieces together with the manifest's."""
    if found == manifest.file.sha256:
        return []
    return [
        Fault(
            FaultKind.FILE_DIGEST,
            manifest.file.name,
            expected=manifest.file.sha256,
            found=found,
            cause="every piece is as listed, but together they make another file: the manifest "
            "contradicts itself",
            hint="get manifest.json again, or split the original file again",
        )
    ]


def check_cuts(folder: PieceFolder) -> list[Fault]:
    """Compare the manifest's cuts with those that `split` makes. The pieces must be right."""
    manifest = folder.manifest
    chunker = manifest.chunker
    known = chunker.name in METHODS and chunker.version == VERSION
    cause = f"cut by {chunker.name!r} version {chunker.version}, which this program does not know"
    if known:
        cause = "the file is not cut where `split` cuts it"
        with closing(JoinedPieces(folder.path, manifest)) as source:
            try:
                plan = plan_cuts(source, target=chunker.target, maximum=chunker.max)
            except ChunkingError as error:
                cause = f"`split` would not cut this file: {error.problem}"
            else:
                ends = tuple(piece.end for piece in manifest.chunks)
                if plan.chunker == chunker and plan.ends == ends:
                    return []
    hint = "split the original file again" if known else "update this program"
    return [Fault(FaultKind.CUTS, folder.manifest_path.name, cause=cause, hint=hint)]


def find_unlisted(folder: PieceFolder) -> list[Fault]:
    """What lies in the folder and belongs to no manifest there.

    Raises:
        OSError: the folder cannot be listed.
    """
    listed = folder.manifest.piece_names | listed_in(folder.path)
    names = sorted(path.name for path in folder.path.iterdir())
    prune = command("prune", folder.path, "--keep", folder.manifest_path)
    needed: str | None = None
    faults = []
    for name in names:
        if name in listed:
            continue
        if PIECE_NAME.fullmatch(name):
            if needed is None:
                manifests = (folder.manifest, *manifests_in(folder.path).values())
                needed = still_needed(folder.path, manifests)
            cause = "a piece that no manifest here lists"
            hint = f"keep such: {needed}" if needed else f"remove such: {prune}"
        elif PART_NAME.fullmatch(name):
            cause, hint = "what a killed run left behind", f"remove such: {prune}"
        else:
            cause, hint = "no part of the release", "move it out of the folder"
        faults.append(Fault(FaultKind.UNLISTED, name, cause=cause, hint=hint))
    return faults


def check_place(folder: Path, index: int, piece: Piece) -> Fault | None:
    """What is wrong with a piece without reading it: missing, no regular file, another size."""
    fault = _faults_of(index, piece)
    try:
        status = (folder / piece.file_name).lstat()
    except FileNotFoundError:
        return fault(FaultKind.MISSING, hint=FETCH_AGAIN)
    except OSError as error:
        return fault(FaultKind.UNREADABLE, cause=error.strerror or str(error), hint=READABLE)
    if not stat.S_ISREG(status.st_mode):
        cause = f"a {kind_of(status.st_mode)} stands where the piece must be"
        return fault(FaultKind.UNSAFE, cause=cause, hint="remove it and " + FETCH_AGAIN)
    if status.st_size != piece.size:
        expected, found = f"{piece.size} bytes", f"{status.st_size} bytes"
        return fault(FaultKind.SIZE, expected=expected, found=found, hint=FETCH_AGAIN)
    return None


def check_content(
    folder: Path,
    index: int,
    piece: Piece,
    index_of: Mapping[str, int],
    tick: Callable[[int], None],
) -> Fault | None:
    """What is wrong with a piece, its content included, and the probable cause.

    Args:
        folder: where the piece's file lies.
        index: the piece's place in the manifest.
        piece: what the manifest says of it.
        index_of: the place in the manifest of every digest that is in it.
        tick: called with the bytes done, block by block.
    """
    fault, wrong = _faults_of(index, piece), check_place(folder, index, piece)
    if wrong and wrong.kind is not FaultKind.SIZE:
        return wrong
    try:
        with os.fdopen(open_regular(folder / piece.file_name), "rb") as stream:
            descriptor = stream.fileno()
            size = os.fstat(descriptor).st_size
            found = sha256_open(descriptor, limit=piece.size, on_bytes=tick)
            if size == piece.size and found == piece.sha256:
                return None
            cause = wrong_content(descriptor, size, piece.size)
    except UnsafeFileError as error:  # it became one since
        return fault(FaultKind.UNSAFE, cause=error.problem, hint=error.hint)
    except OSError as error:
        return fault(FaultKind.UNREADABLE, cause=error.strerror or str(error), hint=READABLE)
    text = cause.text
    if size <= piece.size and found in index_of and found != piece.sha256:
        text = f"it holds the content of piece {index_of[found]}"
    if size != piece.size:
        kind, expected, found = FaultKind.SIZE, f"{piece.size} bytes", f"{size} bytes"
    else:
        kind, expected = FaultKind.CORRUPT, piece.sha256
    return fault(kind, expected=expected, found=found, cause=text, hint=cause.hint)


def _faults_of(index: int, piece: Piece) -> partial[Fault]:
    """What makes faults of one piece."""
    return partial(Fault, name=piece.file_name, index=index, start=piece.offset, end=piece.end)


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        folder: the folder of pieces.
        manifest: what it should hold.
        release_id: the SHA-256 of the manifest's bytes.
        full: whether the whole file's digest and the cuts were checked too.
        faults: all that is wrong, in the order of the pieces; empty if nothing is.
    """

    folder: Path
    manifest: Manifest
    release_id: str
    full: bool
    faults: tuple[Fault, ...]


def verify(path: Path, *, full: bool = False, on_bytes: OnBytes | None = None) -> Verification:
    """Check every piece's place, size and SHA-256, and that nothing else lies in the folder.

    Args:
        path: the folder, or a manifest in it.
        full: also join the pieces in memory block by block and check the whole file's SHA-256,
            and that the manifest's cuts are those that `split` makes.
        on_bytes: progress, called from several threads; in all the file's size, twice if full.

    Raises:
        ManifestError: there is no right manifest to check against.
        StorageError: the folder cannot be read.
    """
    folder = open_folder(path)
    pieces = folder.manifest.chunks
    index_of = {piece.sha256: index for index, piece in enumerate(pieces)}

    def check(index: int) -> Fault | None:
        return check_content(folder.path, index, pieces[index], index_of, tick)

    with workers(on_bytes) as (pool, tick):
        whole = pool.submit(_whole_digest, folder, tick) if full else None
        faults = [fault for fault in pool.map(check, range(len(pieces))) if fault]
        if whole and not faults:
            faults += check_whole(folder.manifest, whole.result())
            faults += check_cuts(folder)
    faults = _name_tensors(folder, faults)
    with explained("list", folder.path):
        faults += find_unlisted(folder)
    return Verification(
        folder.path, folder.manifest, release_id(folder.manifest), full, tuple(faults)
    )


def misplaced(folder: PieceFolder) -> bool:
    """Whether any piece is missing, no regular file or of another size; reads no content."""
    pieces = enumerate(folder.manifest.chunks)
    return any(check_place(folder.path, index, piece) for index, piece in pieces)


def _name_tensors(folder: PieceFolder, faults: list[Fault]) -> list[Fault]:
    """Add to each fault of a piece the tensors in it, as far as the framing can be followed."""
    if not any(fault.index is not None for fault in faults):
        return faults
    with closing(JoinedPieces(folder.path, folder.manifest)) as source:
        names = map_tensors(source, folder.manifest.chunks).names
    return [
        fault if fault.index is None else replace(fault, tensors=names[fault.index])
        for fault in faults
    ]


def _whole_digest(folder: PieceFolder, tick: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    with closing(JoinedPieces(folder.path, folder.manifest)) as source:
        for position in range(0, source.size, BLOCK_BYTES):
            block = source.read_at(position, BLOCK_BYTES)
            digest.update(block)
            tick(len(block))
    return digest.hexdigest()
