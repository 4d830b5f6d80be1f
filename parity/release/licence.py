"""Under which terms a file's weights may be passed on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from export.publication import WEIGHTS_TERMS
from export.trufor_specs import MIT_B2, NOISEPRINT_PP, TRUFOR, TRUFOR_HEAD
from parity.errors import ParityError

OURS = tuple(spec.name for spec in (NOISEPRINT_PP, MIT_B2, TRUFOR, TRUFOR_HEAD))
STAND_IN = "made from a seed by this project: nobody else's weights; Apache-2.0 as the code"


def terms_of(lock: Mapping[str, Any], given: str) -> str:
    """The terms, in a sentence.

    Args:
        lock: of the file.
        given: what whoever releases says of the weights ("" for nothing).

    Raises:
        ParityError: nobody says.
    """
    weights = lock["weights"]
    if weights["kind"] == "stand-in":
        return STAND_IN
    if given:
        return given
    if lock["model"] in OURS:
        return WEIGHTS_TERMS
    raise ParityError(
        f"{lock['model']}: nobody says under which terms {weights['label']} may be passed on",
        hint='say it: --weights-licence "the licence, and whose weights they are"',
    )
