"""Under which terms a file's weights may be passed on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from export.publication import BY_RECEIPT, WEIGHTS_TERMS, publication_of
from parity.errors import ParityError
from parity.gate.evidence import Subject, below
from parity.proof import PROVEN

STAND_IN = "made from a seed by this project: nobody else's weights; Apache-2.0 as the code"


def published_by(subject: Subject) -> Mapping[str, Any] | None:
    """Who published the weights of a file, and how that is known; None where it is not.

    The file must be proven to hold what the run's checkpoint holds, and that checkpoint be known
    by its digest. What a lock says of a name or a digest is no proof.
    """
    weights = subject.said("weights")
    if subject.said("proof") != PROVEN or below(weights, "kind") != "checkpoint":
        return None
    if below(weights, "digest") != below(subject.lock, "weights", "digest"):
        return None
    known = publication_of(None, str(below(weights, "file_sha256")))
    said = below(weights, "published")  # by the receipt that lay beside the checkpoint
    if known is None and isinstance(said, Mapping) and said.get("known_by") == BY_RECEIPT:
        return said
    return known


def terms_of(subject: Subject, given: str) -> str:
    """The terms, in a sentence.

    Args:
        subject: the file, with its lock and what the report says of it.
        given: what whoever releases says of the weights ("" for nothing).

    Raises:
        ParityError: nobody says.
    """
    lock = subject.lock or {}
    if below(lock, "weights", "kind") == "stand-in":
        return STAND_IN
    if given:
        return given
    if published_by(subject):
        return WEIGHTS_TERMS
    raise ParityError(
        f"{subject.model}: nobody says under which terms {below(lock, 'weights', 'label')} may be "
        "passed on: its digest is not a published one",
        hint='say it: --weights-licence "the licence, and whose weights they are"; published '
        "weights are known by `python -m export weights`, also from an archive fetched by hand",
    )
