"""Everything that decides a row, as one digest: a stored row is used under the same one only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import chunking
import export
import parity
from chunking.errors import UserError
from chunking.hashing import sha256_bytes
from export.lock import canonical
from parity.cases import Case
from parity.environment import environment
from parity.results import SCHEMA_VERSION
from parity.runners.providers import Provider
from parity.tolerances import tolerances_digest

NOT_DECIDING = (
    "dataset",
    "gate",
    "history",
    "release",
    "report",
)  # folders of code that no row depends on


def model_fingerprint(
    document: Mapping[str, Any], providers: Sequence[Provider], *, threads: int
) -> str:
    """The digest of what decides a model's rows, but for the images.

    Args:
        document: the model's part of the report: digests of file and weights, preprocessing, the
            yardstick.
        providers: where the file runs, with their settings.
        threads: threads of an operator, as asked for.
    """
    decides = {
        "schema_version": SCHEMA_VERSION,
        "code": code_digest(),
        "tolerances": tolerances_digest(),
        "environment": environment(threads=threads, settings={}),
        "providers": [[p.name, p.required, p.options] for p in providers],
        "model": dict(document),
    }
    return sha256_bytes(canonical(decides).encode())


def case_key(fingerprint: str, case: Case) -> str:
    """The digest of what decides one case's rows, or "" where its files cannot be read."""
    try:
        digests = case.digests()
    except UserError:
        return ""
    names = [picture.name for picture in case.pictures]
    decides = [fingerprint, case.name, case.label, case.size, names, digests]
    return sha256_bytes(canonical(decides).encode())


@cache
def code_digest() -> str:
    """The SHA-256 of this program's code: a changed metric makes other rows."""
    lines = []
    for package in (chunking, export, parity):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            below = path.relative_to(folder)
            if below.parts[0] not in NOT_DECIDING:
                lines.append(f"{folder.name}/{below.as_posix()} {sha256_bytes(path.read_bytes())}")
    return sha256_bytes("\n".join(lines).encode())
