"""Why a file is not what it should be: the usual accidents, recognised by their traces."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from trufor_onnx.files import BLOCK_BYTES

FETCH_AGAIN = "get this file again from where the folder came from"
KEEP_LINE_ENDS = "add `*.chunks/* -text` to .gitattributes and check the folder out again"
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype html|html|head|body|error>)",
    re.IGNORECASE | re.DOTALL,
)
_PAGE_SUFFIXES = (".html", ".htm", ".xhtml", ".xml")
# What tools that keep large files elsewhere leave in their place, and how to get the content.
_POINTERS = (
    (
        rb"version (https://git-lfs\.github\.com|https://hawser\.github\.com|http://git-media\.io)/",
        "a git-lfs pointer",
        "run: git lfs pull",
    ),
    (
        rb"[./]*(git/)?annex/objects/",
        "a git-annex pointer",
        "run: git annex get",
    ),
    (rb"(md5: [0-9a-f]{32}\r?\n)?outs:\r?\n ?- ", "a DVC pointer", "run: dvc pull"),
    (rb"# xet version ", "a git-xet pointer", "run: git xet checkout"),
)
_POINTER_START = rb"(\xef\xbb\xbf)?\s*"
_LONGEST_POINTER = 4096  # bytes; they have a few lines
# What stands under a model's name, by its first bytes, and what to do about it.
_OTHER_FORMATS = (
    (b"\x1f\x8b", "compressed with gzip", "unpack it: gunzip"),
    (
        b"PK\x03\x04",
        "a zip archive (as a torch checkpoint is)",
        "unpack it, or export the checkpoint",
    ),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it: unzstd"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it: unxz"),
    (b"BZh", "compressed with bzip2", "unpack it: bunzip2"),
    (b"{", "JSON (often a server's error)", FETCH_AGAIN),
    (b"[", "JSON (often a server's error)", FETCH_AGAIN),
)
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


def wrong_content(descriptor: int, size: int, expected: int) -> Cause:
    """Guess why a file does not hold the piece that it should.

    Args:
        descriptor: the open file.
        size: its size in bytes.
        expected: the piece's size in bytes.
    """
    other = impostor(descriptor, size)
    if other.text:
        return other
    if size > 2 * expected:  # more than any conversion makes of it
        return Cause("another file under this name", FETCH_AGAIN)
    if line_ends_added(descriptor, size, expected):
        return Cause("line ends were converted from LF to CRLF", KEEP_LINE_ENDS)
    if size < expected:
        line_ends = _count_line_ends(descriptor)
        if not line_ends.pairs and size >= _ENOUGH_PAIRS_EXPECTED and line_ends.lone:
            return Cause("line ends were converted from CRLF to LF", KEEP_LINE_ENDS)
        return Cause("truncated: the download or copy ended early", FETCH_AGAIN)
    if is_zero(descriptor):
        return Cause("nothing but zeros: the disk or a crash lost the content", FETCH_AGAIN)
    return Cause(hint=FETCH_AGAIN)


def impostor(descriptor: int, size: int, name: str = "") -> Cause:
    """What stands in a file's place: a pointer to it, a web page, nothing. Found by its start.

    Args:
        descriptor: the open file.
        size: its size in bytes.
        name: its name, by which a web page may be just that.
    """
    if size == 0:
        return Cause("empty: the download or copy did not start", FETCH_AGAIN)
    kept = pointer(descriptor, size, name)
    if kept.text:
        return Cause(f"{kept.text} instead of the content", kept.hint)
    start = os.pread(descriptor, _LONGEST_POINTER, 0)
    if _PAGE.match(start) and not name.lower().endswith(_PAGE_SUFFIXES):
        return Cause("a web page (of an error or a login) instead of the content", FETCH_AGAIN)
    return Cause()


def pointer(descriptor: int, size: int, name: str = "") -> Cause:
    """What a file is that only says where its content is kept, and how to get that.

    Args:
        descriptor: the open file.
        size: its size in bytes.
        name: its name, by which a pointer may be just that.
    """
    if size <= _LONGEST_POINTER and not name.endswith(".dvc"):
        start = os.pread(descriptor, _LONGEST_POINTER, 0)
        for pattern, text, hint in _POINTERS:
            if re.match(_POINTER_START + pattern, start):
                return Cause(text, hint)
    return Cause()


def no_model(descriptor: int) -> Cause:
    """What a file is that has the name of an ONNX model, but not the framing of one."""
    start = os.pread(descriptor, 512, 0)
    for magic, text, hint in _OTHER_FORMATS:
        if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(magic):
            return Cause(text, hint)
    if is_zero(descriptor):
        return Cause("nothing but zeros: the disk or a crash lost the content", FETCH_AGAIN)
    if re.fullmatch(rb"[\t\r\n\x20-\x7e]*", start):
        return Cause("text", FETCH_AGAIN)
    line_ends = _count_line_ends(descriptor)
    if line_ends.pairs and not line_ends.lone:  # LF is the key of the commonest field
        return Cause("line ends were converted from LF to CRLF", KEEP_LINE_ENDS)
    return Cause()


def line_ends_added(descriptor: int, size: int, expected: int) -> bool:
    """Whether a file may be another of ``expected`` bytes with its LF made CRLF."""
    if not expected < size <= 2 * expected:
        return False
    line_ends = _count_line_ends(descriptor)
    return line_ends.pairs >= size - expected and not line_ends.lone


def _count_line_ends(descriptor: int) -> _LineEnds:
    pairs = feeds = position = 0
    after_return = False
    while block := os.pread(descriptor, BLOCK_BYTES, position):
        position += len(block)
        pairs += block.count(b"\r\n") + (after_return and block.startswith(b"\n"))
        feeds += block.count(b"\n")
        after_return = block.endswith(b"\r")
    return _LineEnds(pairs, feeds - pairs)


def is_zero(descriptor: int) -> bool:
    """Whether a file holds zeros only. One that does not is known by its first block, mostly."""
    position = 0
    while block := os.pread(descriptor, BLOCK_BYTES, position):
        if block.count(0) != len(block):
            return False
        position += len(block)
    return True
