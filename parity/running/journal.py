"""Rows of finished cases on disk, so that an interrupted run goes on where it was.

A line a case: its key (`parity.running.journal`), its rows, its pictures where it has any
(`parity.running.gallery`), and the digest of it all. A line that is
cut off, damaged or of another key is as good as absent: the case is measured again.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Self

from trufor_onnx.documents import canonical, parse_json
from trufor_onnx.errors import ParityError
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.files import sha256_bytes
from trufor_onnx.parity.inputs.cases import LoadedCase
from trufor_onnx.parity.references.closure import closure
from trufor_onnx.parity.references.keys import made_by, unkept
from trufor_onnx.parity.results.environment import environment
from trufor_onnx.parity.results.rows import SCHEMA_VERSION, Row, Status
from trufor_onnx.parity.results.tolerances import tolerances_digest
from trufor_onnx.providers import Provider

NAME = "parity.journal.jsonl"
LARGEST_LINE = 16 << 20  # bytes

logger = logging.getLogger(__name__)
# The module that makes rows; what it imports is found by reading it.
COMPARES = f"{__package__}.run"


class Journal:
    """The finished cases of runs with the same ``--out``.

    Args:
        folder: where the journal is; made where it is missing.
        resume: use what an interrupted run left there; False: begin anew.

    Attributes:
        path: the journal.
        resumed: how many cases were found in it.
        added: how many were added to it.

    Raises:
        ParityError: the folder or the file cannot be written.
    """

    def __init__(self, folder: Path, *, resume: bool = True) -> None:
        self.path = folder / NAME
        self.resumed = self.added = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lines = _read(self.path) if resume else {}
            self._stream: BinaryIO = self.path.open("ab" if resume else "wb")
            if resume and not _ends_with_newline(self.path):
                self._stream.write(b"\n")  # after a line that was cut off
        except OSError as error:
            raise ParityError(
                f"{self.path} cannot be written ({error.strerror})",
                hint="name another folder with --out",
            ) from error

    def find(self, key: str) -> list[Row] | None:
        """The rows of a finished case, or None where it must be measured."""
        line = self._lines.get(key)
        if not key or line is None:
            return None
        try:
            rows = [Row.from_document(row) for row in parse_json(line)["rows"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            logger.warning("%s: a line is not used (%s)", self.path, error)
            return None
        self.resumed += 1
        return rows

    def pictures(self, key: str) -> list[object]:
        """What `add` was given with a finished case, for who can read it."""
        try:
            found = parse_json(self._lines.get(key, b"{}")).get("pictures", [])
        except (ValueError, RecursionError):
            return []
        return found if isinstance(found, list) else []

    def add(self, key: str, rows: Sequence[Row], pictures: Sequence[object] = ()) -> None:
        """Keep a finished case. One that could not be compared is tried again the next time.

        Args:
            key: what decides the case's rows.
            rows: they.
            pictures: JSON objects; where a line would be too long with them, they are left out.

        Raises:
            ParityError: the disk is full, say.
        """
        if not key or not rows or any(row.status is Status.ERROR for row in rows):
            return
        content: dict[str, Any] = {"key": key, "rows": [row.document() for row in rows]}
        line = _line(content | ({"pictures": list(pictures)} if pictures else {}))
        if pictures and len(line) >= LARGEST_LINE:
            line = _line(content)
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError as error:
            raise ParityError(
                f"{self.path} cannot be written ({error.strerror})",
                hint="free some space, or name another folder with --out",
            ) from error
        self.added += 1

    def interrupted(self) -> str:
        """What to tell who stopped the run."""
        kept = self.resumed + self.added
        if not kept:
            return "interrupted before a case was done; nothing was kept"
        return (
            f"interrupted; {kept} finished cases are in {self.path}: the same command goes on "
            "from there (--no-resume begins anew)"
        )

    def discard(self) -> None:
        """Remove the journal: its run is done, and the next one measures anew."""
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._stream.close()
        if self.path.is_file() and self.path.stat().st_size == 0:
            self.discard()


def _read(path: Path) -> dict[str, bytes]:
    """The sound lines of a journal by their keys."""
    if not path.exists():
        return {}
    lines: dict[str, bytes] = {}
    damaged = 0
    with path.open("rb") as stream:
        while line := stream.readline(LARGEST_LINE):
            key = _key(line)
            if key:
                lines[key] = line
            elif line.strip():
                damaged += 1
    if damaged:
        logger.warning("%s: %d damaged lines are not used", path, damaged)
    return lines


def _key(line: bytes) -> str:
    """The key of a sound line, or ""."""
    try:
        content = parse_json(line)
        digest = content.pop("sha256")
        return str(content["key"]) if digest == _digest(content) else ""
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""


def _line(content: dict[str, Any]) -> bytes:
    return canonical(content | {"sha256": _digest(content)}).encode() + b"\n"


def _digest(content: object) -> str:
    return sha256_bytes(canonical(content).encode())


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(size - 1, 0))
        return size == 0 or stream.read(1) == b"\n"


def model_fingerprint(
    document: Mapping[str, Any],
    providers: Sequence[Provider],
    *,
    specs: Sequence[ModelSpec],
    threads: int,
) -> str:
    """The digest of what decides a model's rows, but for the images.

    A network whose code cannot be followed has another one each time: nothing of it is resumed.

    Args:
        document: the model's part of the report: digests of file and weights, preprocessing, the
            yardstick.
        providers: where the file runs, with their settings.
        specs: the networks that PyTorch runs; none where a bundle, whose digest is in the
            document, takes its place.
        threads: threads of an operator, as asked for.
    """
    decides = {
        "schema_version": SCHEMA_VERSION,
        "code": code_digest(),
        "networks": [made_by(spec) for spec in specs],
        "once": secrets.token_hex(16) if unkept(*specs) or closure(COMPARES).unseen else "",
        "tolerances": tolerances_digest(),
        "environment": environment(threads=threads, settings={}),
        "providers": [[p.name, p.required, p.options] for p in providers],
        "model": dict(document),
    }
    return sha256_bytes(canonical(decides).encode())


def case_key(fingerprint: str, loaded: LoadedCase) -> str:
    """The digest of what decides one case's rows."""
    case = loaded.case
    names = [picture.name for picture in case.pictures]
    decides = [fingerprint, case.name, case.label, case.size, names, loaded.digests]
    return sha256_bytes(canonical(decides).encode())


@cache
def code_digest() -> str:
    """The SHA-256 of this program's code that decides a row: a changed metric makes other rows."""
    return closure(COMPARES).digest
