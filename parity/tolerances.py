"""What a comparison is allowed to find, per model, variant and output, each with a reason."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from parity.errors import ParityError

FILE = "tolerances.toml"
NUMBERS = ("mae", "max_abs", "row_ratio", "accuracy_ratio", "noise_floor")


@dataclass(frozen=True)
class Tolerance:
    """Limits for one output.

    Attributes:
        mae: an image passes with a mean absolute error up to this, in the output's units.
        max_abs: likewise for the maximum.
        row_ratio: or up to this many times PyTorch float32's own error on the same image.
        accuracy_ratio: the limit for all images together: mean error over PyTorch float32's.
        noise_floor: a mean error up to this is rounding of the output itself; its ratio to
            another such error says nothing and is not judged.
        reason: the measurement that the limits come from.
    """

    mae: float
    max_abs: float
    row_ratio: float
    accuracy_ratio: float
    noise_floor: float
    reason: str


def tolerance_for(model: str, variant: str, output: str) -> Tolerance:
    """The most specific entry: ``model.variant.output``, ``model.variant.*``, ..., ``*.*.*``.

    Raises:
        ParityError: no entry fits, or an entry is incomplete or has no reason.
    """
    entries = _entries()
    variants = (variant, "*")
    for key_model in (model, "*"):
        for key_variant in variants:
            for key_output in (output, "*"):
                entry = entries.get(f"{key_model}/{key_variant}/{key_output}")
                if entry is not None:
                    return entry
    raise ParityError(
        f"no tolerance for {model}, {variant}, {output}", hint=f"add an entry to parity/{FILE}"
    )


def parse(text: str) -> dict[str, Tolerance]:
    """Entries by ``model/variant/output``.

    Raises:
        ParityError: the text is no TOML, or an entry lacks a number or its reason.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ParityError(f"parity/{FILE}: {error}", hint="mend the file") from error
    return {key: _entry(key, value) for key, value in document.get("tolerance", {}).items()}


@cache
def _entries() -> dict[str, Tolerance]:
    return parse((files("parity") / FILE).read_text(encoding="utf-8"))


def _entry(key: str, given: Mapping[str, Any]) -> Tolerance:
    hint = f"every entry has {', '.join(NUMBERS)} and a reason that names a measurement"
    if key.count("/") != 2:
        raise ParityError(f"parity/{FILE}: {key!r} is not model/variant/output", hint=hint)
    if set(given) != {*NUMBERS, "reason"} or not str(given["reason"]).strip():
        raise ParityError(f"parity/{FILE}: the entry {key!r} is incomplete", hint=hint)
    numbers = {name: float(given[name]) for name in NUMBERS}
    if not all(number >= 0.0 for number in numbers.values()):  # NaN ends here too
        raise ParityError(f"parity/{FILE}: a limit of {key!r} is no number of 0 or more", hint=hint)
    return Tolerance(**numbers, reason=str(given["reason"]))
