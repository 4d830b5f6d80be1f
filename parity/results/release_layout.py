"""What a release folder's files are called, and which names are safe in one."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from trufor_onnx.chunking.manifest import shown
from trufor_onnx.errors import ParityError

PREFIX = "models-"
SUMS = "SHA256SUMS"
STATEMENT = "provenance.intoto.json"
ENVELOPE = "provenance.dsse.json"
PROVENANCE_SUMS = "provenance.sha256"
CARD = "MODEL_CARD.md"
GATE = "gate.json"
PARITY = "parity.json"
BENCH = "bench.json"
REFERENCES = "references.bundle"
# What the checksums cannot hold: the statement is over them, and the signature over the statement.
# So these two have checksums of their own.
UNLISTED = (SUMS, STATEMENT, ENVELOPE, PROVENANCE_SUMS)

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")
_PART = re.compile(r"[0-9A-Za-z][0-9A-Za-z.@:+_-]{0,199}")
LARGEST = 4 << 20  # bytes
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def folder_name(version: str) -> str:
    """``models-1.2.0``.

    Raises:
        ParityError: the version cannot be part of a folder's name.
    """
    if not _VERSION.fullmatch(version) or ".." in version:
        raise ParityError(
            f"{version!r} is no version", hint="letters, digits and . + _ -, such as 1.2.0"
        )
    return PREFIX + version


def version_of(folder: Path) -> str:
    """``1.2.0``: the version that a folder's name says; the whole name where it says none."""
    return folder.absolute().name.removeprefix(PREFIX)


def is_safe(name: str) -> bool:
    """Whether a name from elsewhere stays inside of the folder: ``a`` or ``a/b``, plain letters."""
    parts = name.split("/")
    return len(parts) <= 2 and all(_PART.fullmatch(part) and ".." not in part for part in parts)


def entries(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file below a folder as (name, what it is); links are never followed.

    What it is: ``file``, ``link``, ``device``; folders are not named, but for links to them.

    Raises:
        ParityError: a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise ParityError(f"{error.filename}: cannot be listed ({error.strerror})", hint="")

    for root, folders, files in os.walk(folder, onerror=refuse):
        here = Path(root)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in sorted([*files, *links]):
            path = here / name
            mode = path.lstat().st_mode
            kind = "file" if stat.S_ISREG(mode) else "link" if stat.S_ISLNK(mode) else "device"
            yield path.relative_to(folder).as_posix(), kind
        if not folders and not files and here != folder:
            yield here.relative_to(folder).as_posix(), "empty folder"


def encode(digests: Mapping[str, str]) -> bytes:
    """A line a file, sorted by name."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode("ascii")


def parse(data: bytes, file: str) -> tuple[dict[str, str], list[str]]:
    """Digests by name, and what is wrong with ``file``; a name that is not safe is left out."""
    problems = []
    found: dict[str, str] = {}
    if len(data) > LARGEST:
        return {}, [f"{file}: larger than {LARGEST} bytes"]
    for number, line in enumerate(data.decode("ascii", "replace").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            problems.append(f"{file}: line {number} is not a digest and a name")
        elif not is_safe(match[2]):
            problems.append(f"{file}: line {number} names {shown(match[2])}, outside of the folder")
        elif match[2] in found:
            problems.append(f"{file}: {match[2]} is there twice")
        else:
            found[match[2]] = match[1]
    if not problems and encode(found) != data:
        problems.append(f"{file}: not sorted, or other line ends")
    return found, problems
