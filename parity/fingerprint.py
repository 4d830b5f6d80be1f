"""Everything that decides a row, as one digest: a stored row is used under the same one only."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from chunking.errors import UserError
from chunking.hashing import sha256_bytes
from export.lock import canonical
from export.spec import ModelSpec
from parity.cases import Case
from parity.environment import environment
from parity.references.closure import closure
from parity.references.keys import made_by, unkept
from parity.results import SCHEMA_VERSION
from parity.runners.providers import Provider
from parity.tolerances import tolerances_digest

# The module that makes rows; what it imports is found by reading it.
COMPARES = f"{__package__}.run"


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
    """The SHA-256 of this program's code that decides a row: a changed metric makes other rows."""
    return closure(COMPARES).digest
