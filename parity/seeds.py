"""The seed of the sizes that are drawn: nobody chooses it, and the same run has the same.

Without `--seed` it follows from the digests of the files that are judged, so that a file cannot be
made for sizes that are known beforehand; a bundle, which knows no file, has one that follows from
its weights, and runs with it take that (docs/decisions/cases.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from chunking.hashing import sha256_bytes
from export.lock import canonical
from export.spec import ModelSpec
from parity.errors import ParityError

OPTION, FILES, BUNDLE = "--seed", "the files' digests", "the bundle"
DIGITS = 8  # hexadecimal: seeds that a person can type


@dataclass(frozen=True)
class Seed:
    """A seed and where it is from.

    Attributes:
        value: 0 or more.
        origin: ``--seed``, the files' digests, or the bundle.
    """

    value: int
    origin: str

    def document(self) -> dict[str, Any]:
        """As the report has it."""
        return asdict(self)


def from_files(spec: ModelSpec, digests: Iterable[str]) -> Seed:
    """The seed of a run that was told none.

    Args:
        spec: the network.
        digests: SHA-256 of the files that are judged.
    """
    return Seed(_number([spec.name, spec.version, *sorted(digests)]), FILES)


def from_weights(spec: ModelSpec, digest: str) -> int:
    """The seed of a bundle that was told none; ``digest`` is that of the weights."""
    return _number([spec.name, spec.version, digest])


def require_seed(seed: int | None) -> None:
    """Refuse a seed that cannot be.

    Raises:
        ParityError: it is negative.
    """
    if seed is not None and seed < 0:
        raise ParityError("--seed must be 0 or more", hint="any whole number, as --seed 2026")


def _number(of: list[str]) -> int:
    return int(sha256_bytes(canonical(of).encode())[:DIGITS], 16)
