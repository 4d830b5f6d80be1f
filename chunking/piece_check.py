"""Check one piece of a folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from chunking.causes import FETCH_AGAIN, wrong_content
from chunking.errors import UnsafeFileError
from chunking.faults import Fault, FaultKind
from chunking.hashing import sha256_open
from chunking.manifest import Piece
from chunking.storage import kind_of, open_regular


def check_place(folder: Path, index: int, piece: Piece) -> Fault | None:
    """What is wrong with a piece without reading it: missing, no regular file, another size."""
    try:
        status = (folder / piece.file_name).lstat()
    except FileNotFoundError:
        return _fault(FaultKind.MISSING, index, piece, hint=FETCH_AGAIN)
    except OSError as error:
        return _unreadable(index, piece, error)
    if not stat.S_ISREG(status.st_mode):
        return _fault(
            FaultKind.UNSAFE,
            index,
            piece,
            cause=f"a {kind_of(status.st_mode)} stands where the piece must be",
            hint="remove it and " + FETCH_AGAIN,
        )
    if status.st_size != piece.size:
        return _fault(
            FaultKind.SIZE,
            index,
            piece,
            expected=f"{piece.size} bytes",
            found=f"{status.st_size} bytes",
            hint=FETCH_AGAIN,
        )
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
    fault = check_place(folder, index, piece)
    if fault and fault.kind is not FaultKind.SIZE:
        return fault
    try:
        descriptor = open_regular(folder / piece.file_name)
    except UnsafeFileError as error:  # it became one since
        return _fault(FaultKind.UNSAFE, index, piece, cause=error.problem, hint=error.hint)
    except OSError as error:
        return _unreadable(index, piece, error)
    try:
        return _check_open(descriptor, index, piece, index_of, tick)
    except OSError as error:
        return _unreadable(index, piece, error)
    finally:
        os.close(descriptor)


def _check_open(
    descriptor: int,
    index: int,
    piece: Piece,
    index_of: Mapping[str, int],
    tick: Callable[[int], None],
) -> Fault | None:
    size = os.fstat(descriptor).st_size
    found = sha256_open(descriptor, limit=piece.size, on_bytes=tick)
    if size == piece.size and found == piece.sha256:
        return None
    cause = wrong_content(descriptor, size, piece.size)
    text = cause.text
    if size <= piece.size and found in index_of and found != piece.sha256:
        text = f"it holds the content of piece {index_of[found]}"
    if size != piece.size:
        kind, expected, seen = FaultKind.SIZE, f"{piece.size} bytes", f"{size} bytes"
    else:
        kind, expected, seen = FaultKind.CORRUPT, piece.sha256, found
    return _fault(kind, index, piece, expected=expected, found=seen, cause=text, hint=cause.hint)


def _unreadable(index: int, piece: Piece, error: OSError) -> Fault:
    return _fault(
        FaultKind.UNREADABLE,
        index,
        piece,
        cause=error.strerror or str(error),
        hint="check the permissions and the disk",
    )


def _fault(
    kind: FaultKind,
    index: int,
    piece: Piece,
    *,
    expected: str = "",
    found: str = "",
    cause: str = "",
    hint: str = "",
) -> Fault:
    return Fault(
        kind,
        piece.file_name,
        index=index,
        start=piece.offset,
        end=piece.end,
        expected=expected,
        found=found,
        cause=cause,
        hint=hint,
    )
