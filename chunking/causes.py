"""Why a piece is not what it should be: the usual accidents, recognised by their traces."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from chunking.hashing import BLOCK_BYTES

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(rb"\s*<(!doctype html|html)", re.IGNORECASE)
# In random bytes one pair in 65,536 is CR LF: from here on none at all is no coincidence.
_ENOUGH_PAIRS_EXPECTED = 1 << 20


@dataclass(frozen=True)
class Cause:
    """What probably happened and what to do; both empty if nothing is recognised."""

    text: str = ""
    hint: str = ""


@dataclass(frozen=True)
class _LineEnds:
    pairs: int  # CR LF
    lone: int  # LF after anything else


FETCH_AGAIN = "get this file again from where the folder came from"
KEEP_LINE_ENDS = "add `*.chunks/* -text` to .gitattributes and check the folder out again"


def wrong_content(descriptor: int, size: int, expected: int) -> Cause:
    """Guess why a file does not hold the piece that it should.

    Args:
        descriptor: the open file.
        size: its size in bytes.
        expected: the piece's size in bytes.
    """
    start = os.pread(descriptor, 512, 0)
    if start.startswith(LFS_POINTER):
        return Cause("a git-lfs pointer instead of the content", "run: git lfs pull")
    if size == 0:
        return Cause("empty: the download or copy did not start", FETCH_AGAIN)
    if _PAGE.match(start):
        return Cause("a web page (of an error or a login) instead of the content", FETCH_AGAIN)
    if size > 2 * expected:  # more than any conversion makes of it
        return Cause("another file under this name", FETCH_AGAIN)
    line_ends = _count_line_ends(descriptor)
    if size > expected and line_ends.pairs >= size - expected and not line_ends.lone:
        return Cause("line ends were converted from LF to CRLF", KEEP_LINE_ENDS)
    if size < expected:
        if not line_ends.pairs and size >= _ENOUGH_PAIRS_EXPECTED and line_ends.lone:
            return Cause("line ends were converted from CRLF to LF", KEEP_LINE_ENDS)
        return Cause("truncated: the download or copy ended early", FETCH_AGAIN)
    if not start.strip(b"\0") and _is_zero(descriptor):
        return Cause("nothing but zeros: the disk or a crash lost the content", FETCH_AGAIN)
    return Cause(hint=FETCH_AGAIN)


def _count_line_ends(descriptor: int) -> _LineEnds:
    pairs = feeds = position = 0
    after_return = False
    while block := os.pread(descriptor, BLOCK_BYTES, position):
        position += len(block)
        pairs += block.count(b"\r\n") + (after_return and block.startswith(b"\n"))
        feeds += block.count(b"\n")
        after_return = block.endswith(b"\r")
    return _LineEnds(pairs, feeds - pairs)


def _is_zero(descriptor: int) -> bool:
    position = 0
    while block := os.pread(descriptor, BLOCK_BYTES, position):
        if block.count(0) != len(block):
            return False
        position += len(block)
    return True
