"""What can be known of a file's weights, in the words of reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chunking.errors import first_few

PROVEN = "proven"  # derived again from the reference's own tensors, and compared
AS_LOCKED = "as its lock says"  # a lock is there that agrees, and nothing to derive it again from
UNPROVEN = "weights unproven"  # no lock
REFUTED = "other weights"
# Of several files together the least is what holds.
LEAST_FIRST = (REFUTED, UNPROVEN, AS_LOCKED, PROVEN)
SHOWN = 5


def named(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    return first_few(names, SHOWN)


def said(given: Mapping[str, Any]) -> str:
    """The proof of a file with what it rests on, or why it is none of the file.

    Such as ``proven (rebuilt here: the same bytes)``.

    Args:
        given: what a report has of the file.
    """
    proof = str(given.get("proof", "proof unknown"))
    why = given.get("proof_how") if proof == PROVEN else None
    why = given.get("proof_reason") if proof == AS_LOCKED else why
    return f"{proof} ({why})" if why else proof
