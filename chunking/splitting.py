"""Cut a file into pieces, which git hosts and CDNs take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trufor_onnx.chunking.acceptance import (
    check_against_lock,
    check_content,
    check_replacing,
    earlier_manifest,
    locks_of,
    still_needed,
)
from trufor_onnx.chunking.folders import OpenFile, PieceFolder, default_folder, folder_lock, opened
from trufor_onnx.chunking.git import protect
from trufor_onnx.chunking.inspecting import DEFAULT_MAX, DEFAULT_TARGET, FIXED, CutPlan, plan_cuts
from trufor_onnx.chunking.manifest import (
    MANIFEST_NAME,
    PIECE_SUFFIX,
    Manifest,
    Piece,
    WholeFile,
    check_name,
    encode,
    load,
    release_id,
)
from trufor_onnx.chunking.pipeline import HashingCopy, OnBytes
from trufor_onnx.chunking.verifying import PIECE_NAME, find_unlisted
from trufor_onnx.errors import (
    ChunkingError,
    ExternalDataError,
    HiddenManifestError,
    ManifestError,
    SourceChangedError,
)
from trufor_onnx.files import (
    BLOCK_BYTES,
    PendingFile,
    atomic_write,
    check_space,
    explained,
    fsync_folder,
    open_regular,
    sha256_open,
)

WORKERS = 2  # one syncs to the disk while the other compares or waits for a digest


@dataclass(frozen=True)
class Published:
    """A piece in its place: its digest, and whether it had to be written."""

    sha256: str
    written: bool


class Publisher:
    """Publishes pieces under their digests; one that stands there already is not touched.

    Use as a context manager: at the end of the block all is published, or, if it raised, what
    was not yet published is dropped.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="publish")
        self._waiting: list[tuple[PendingFile, Future[Published]]] = []
        self._done: list[Published] = []

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            self._pool.shutdown(cancel_futures=True)
            for pending, _ in self._waiting:
                pending.discard()

    def put(self, pending: PendingFile, digest: Future[str]) -> None:
        """Publish a piece as soon as its digest is known.

        Blocks while ``WORKERS`` earlier ones are not published: each takes disk space.

        Raises:
            OSError: an earlier one could not be published.
        """
        self._waiting.append((pending, self._pool.submit(self._publish, pending, digest)))
        self._settle(WORKERS)

    def finish(self) -> list[Published]:
        """Wait for all pieces; returns them in the order in which they were put."""
        self._settle(0)
        return self._done

    def _settle(self, allowed: int) -> None:
        while len(self._waiting) > allowed:
            self._done.append(self._waiting[0][1].result())
            del self._waiting[0]

    def _publish(self, pending: PendingFile, digest: Future[str]) -> Published:
        sha256 = digest.result()
        path = self._folder / (sha256 + PIECE_SUFFIX)
        pending.stream.flush()
        written = not _holds(path, pending.stream.fileno(), pending.stream.tell())
        if written:
            with explained("write", path):
                pending.publish(path)
        else:
            pending.discard()
        return Published(sha256, written)


def _holds(path: Path, descriptor: int, size: int) -> bool:
    """Whether a regular file stands at ``path`` with the content of the open file."""
    try:
        other = open_regular(path)
    except (OSError, ChunkingError):
        return False  # missing, or to be replaced
    try:
        if os.fstat(other).st_size != size:
            return False
        return all(
            os.pread(other, BLOCK_BYTES, position) == os.pread(descriptor, BLOCK_BYTES, position)
            for position in range(0, size, BLOCK_BYTES)
        )
    except OSError:
        return False  # a bad disk block: write the piece anew
    finally:
        os.close(other)


@dataclass(frozen=True)
class Split:
    """What `split` did.

    Attributes:
        file: the file that was cut.
        folder: the folder of pieces.
        manifest: what the folder holds now.
        release_id: the SHA-256 of the manifest's bytes.
        written_pieces: how many pieces were written; the others were there already.
        written_bytes: their size together.
        leftovers: pieces in the folder that no manifest there lists any more.
        needed: why these may still be needed; "" if they may go.
        git: what was written, or is to be done, so that git keeps the bytes; "" if nothing.
    """

    file: Path
    folder: Path
    manifest: Manifest
    release_id: str
    written_pieces: int
    written_bytes: int
    leftovers: int
    needed: str = ""
    git: str = ""


def split(
    file: Path,
    out: Path | None = None,
    *,
    target: int = DEFAULT_TARGET,
    maximum: int = DEFAULT_MAX,
    force: bool = False,
    attributes: bool = True,
    on_bytes: OnBytes | None = None,
) -> Split:
    """Cut a file into a folder of pieces named by their content, and a manifest.

    The same bytes give the same folder on every machine. Pieces that are there already are left
    alone, others are written and fsynced, and the manifest comes last, in one step: until then an
    earlier release in the folder stays whole. Nothing is ever deleted (`prune` does that).

    What only stands in the file's place (a git-lfs pointer, a web page), an ``.onnx`` that is not
    whole, a file that the lock beside it contradicts, and one that is much smaller than what the
    manifest there is of are refused before anything is written.

    Args:
        file: the file to cut; at its tensors if it is an ONNX model, else at fixed offsets.
        out: the folder, made if it is missing; by default ``NAME.chunks`` beside the file.
        target: bytes at which a piece is full.
        maximum: bytes that no piece exceeds.
        force: cut a model that is not whole too, whatever the lock or the manifest there says.
        attributes: where the folder lies in a git work tree, write a ``.gitattributes`` beside
            it unless git leaves the pieces' bytes alone already.
        on_bytes: progress; in all the file's size.

    Raises:
        ContentError: the file is no whole model, or only stands in a file's place.
        ReplacementError: the lock or the manifest there is of another file.
        ExternalDataError: the model keeps weights in another file.
        SourceChangedError: the file changed meanwhile; the old manifest, if any, still stands.
        ChunkingError: the sizes or the name are not fit, or the file system refused.
    """
    check_name(file.name)
    folder = out or default_folder(file)
    with opened(file, follow_link=True) as source:
        before = _state(source)
        plan = _plan(source, target, maximum)
        check_content(source, file.name, force=force, deep=plan.chunker.name == FIXED)
        if not force:
            digest = partial(sha256_open, source.descriptor)
            with explained("read", file):
                check_against_lock(file, source.size, digest, locks_of(file.name, file, folder))
        with _prepared(folder, file.name, force) as earlier:
            if earlier and not force:
                check_replacing(source, folder, earlier)
            _check_space(folder, source.size)
            whole, published = _write_pieces(source, plan, folder, on_bytes)
            if _state(source) != before:
                raise SourceChangedError(f"{file} changed while it was read", hint="run it again")
            manifest = _manifest(WholeFile(file.name, source.size, whole), plan, published)
            _write_manifest(folder, manifest, earlier)
            leftovers = _count_leftovers(folder, manifest)
            needed = still_needed(folder, [manifest], file) if leftovers else ""
            git = protect(folder, manifest) if attributes else ""
    written = [
        piece.size for piece, done in zip(manifest.chunks, published, strict=True) if done.written
    ]
    return Split(
        file,
        folder,
        manifest,
        release_id(manifest),
        len(written),
        sum(written),
        leftovers,
        needed,
        git,
    )


def _state(source: OpenFile) -> tuple[int, int]:
    status = os.fstat(source.descriptor)
    return status.st_size, status.st_mtime_ns


def _plan(source: OpenFile, target: int, maximum: int) -> CutPlan:
    try:
        return plan_cuts(source, target=target, maximum=maximum)
    except ExternalDataError as error:
        raise ExternalDataError(f"{source.path}: {error.problem}", hint=error.hint) from None


@contextmanager
def _prepared(folder: Path, name: str, force: bool) -> Iterator[Manifest | None]:
    """Make the folder and hold its lock; if the block raises, an empty new folder goes again.

    Yields the manifest that is there, if any.
    """
    with explained("write to", folder):
        is_new = not folder.is_dir()
        if is_new:
            folder.mkdir()
        try:
            with folder_lock(folder, exclusive=False):
                yield _earlier(folder, name, force)
        except BaseException:
            if is_new:
                with suppress(OSError):  # not empty: finished pieces stay for the next try
                    folder.rmdir()
            raise
        if is_new:
            fsync_folder(folder.absolute().parent)


def _earlier(folder: Path, name: str, force: bool) -> Manifest | None:
    """The manifest that would be replaced. That of a file of another name never is."""
    try:
        earlier = earlier_manifest(folder)
    except HiddenManifestError:
        if force:
            return None
        raise
    other = earlier.file.name if earlier else name
    if other != name:
        raise ManifestError(
            f"{folder} holds the pieces of {other!r}, not of {name!r}",
            hint="choose another folder with --out; or, to keep both in this one, rename its "
            f"{MANIFEST_NAME} to another name ending in .json",
        )
    return earlier


def _check_space(folder: Path, size: int) -> None:
    """Raise if the disk is too full even if every piece in the folder can be used again."""
    with os.scandir(folder) as entries:
        reusable = sum(
            entry.stat(follow_symlinks=False).st_size
            for entry in entries
            if PIECE_NAME.fullmatch(entry.name)
        )
    check_space(folder, size - reusable)


def _write_pieces(
    source: OpenFile, plan: CutPlan, folder: Path, on_bytes: OnBytes | None
) -> tuple[str, list[Published]]:
    """Write the pieces; returns the SHA-256 of the whole, and the pieces in order."""
    start = 0
    with HashingCopy() as copy:
        with Publisher(folder) as publisher:
            for end in plan.ends:
                pending = PendingFile(folder, reserve=end - start)
                try:
                    digest = copy.copy_piece(source, start, end - start, pending.stream, on_bytes)
                except BaseException:
                    pending.discard()
                    raise
                publisher.put(pending, digest)
                start = end
            published = publisher.finish()
        copy.finish()
    fsync_folder(folder)
    return copy.whole, published


def _manifest(file: WholeFile, plan: CutPlan, published: list[Published]) -> Manifest:
    starts = (0, *plan.ends[:-1]) if plan.ends else ()
    return Manifest(
        file,
        plan.chunker,
        tuple(
            Piece(start, end - start, done.sha256)
            for start, end, done in zip(starts, plan.ends, published, strict=True)
        ),
    )


def _write_manifest(folder: Path, manifest: Manifest, earlier: Manifest | None) -> None:
    path = folder / MANIFEST_NAME
    try:
        there = load(path)
    except ChunkingError:
        pass  # missing, or to be replaced
    else:
        if there == manifest:
            return
        if there != earlier:
            raise SourceChangedError(
                f"{path} was replaced by another split meanwhile", hint="run it again"
            )
    atomic_write(path, encode(manifest))


def _count_leftovers(folder: Path, manifest: Manifest) -> int:
    unlisted = find_unlisted(PieceFolder(folder, folder / MANIFEST_NAME, manifest))
    return sum(PIECE_NAME.fullmatch(fault.name) is not None for fault in unlisted)
