"""What a comparison is allowed to find, per model, variant and output, each with a reason."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from trufor_onnx.errors import ParityError
from trufor_onnx.files import sha256_bytes

FILE = "tolerances.toml"
TABLE = "tolerance"
ANY = "*"
NUMBERED = " #"  # between a variant and which of several files of it
NUMBERS = ("mae", "max_abs", "row_ratio", "accuracy_ratio", "noise_floor")
UNIT = "unit"
UNITS = ("output", "spread")  # of `mae` and `max_abs`; the first where an entry says none
CLEARED = "cleared"  # 1.0 where an entry says none
SEVERAL = "|"


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
        relative: ``mae`` and ``max_abs`` are shares of the spread of the float64 network's
            outputs over all cases, not in the output's units.
        cleared: a file that is right in float64 (`results.witness`) may be so many times ``mae``
            and ``max_abs`` off on the CPU, where ONNX Runtime's kernels round; 1.0: it may not.
    """

    mae: float
    max_abs: float
    row_ratio: float
    accuracy_ratio: float
    noise_floor: float
    reason: str
    relative: bool = False
    cleared: float = 1.0

    @property
    def judges_no_ratio(self) -> bool:
        """Whether all that passes is within the noise floor, as in float16."""
        return not self.relative and self.noise_floor >= self.mae


def tolerance_for(model: str, variant: str, output: str) -> Tolerance:
    """The most specific entry of ``tolerances.toml``; see `most_specific`."""
    return most_specific(_entries(), model, plain_variant(variant), output)


def plain_variant(variant: str) -> str:
    """The variant without the number that tells two files of it apart: ``fp16 #2`` is ``fp16``."""
    return variant.partition(NUMBERED)[0]


def most_specific(
    entries: Mapping[str, Tolerance], model: str, variant: str, output: str
) -> Tolerance:
    """The most specific of the entries that fit.

    The model counts most, then the variant, then the output: ``model/variant/output`` before
    ``model/variant/*`` before ``model/*/output`` before ``model/*/*``, and these before the same
    four with ``*`` for the model.

    Raises:
        ParityError: no entry fits.
    """
    for key_model in (model, ANY):
        for key_variant in (variant, ANY):
            for key_output in (output, ANY):
                entry = entries.get(f"{key_model}/{key_variant}/{key_output}")
                if entry is not None:
                    return entry
    raise ParityError(
        f"no tolerance for {model}, {variant}, {output}", hint=f"add an entry to parity/{FILE}"
    )


def tolerances_digest() -> str:
    """The SHA-256 of ``tolerances.toml``: a stored verdict holds under these limits only."""
    return sha256_bytes(_text().encode())


def parse(text: str) -> dict[str, Tolerance]:
    """Entries by ``model/variant/output``; one for several models is called ``one|two/...``.

    Raises:
        ParityError: the text is no TOML, holds no entry or something else beside them, or an entry
            lacks a finite number or its reason.
    """
    hint = f'it holds entries [{TABLE}."model/variant/output"] and nothing else'
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ParityError(f"parity/{FILE}: {error}", hint=hint) from error
    given = document.pop(TABLE, None)
    if not isinstance(given, dict) or not given or document:
        strange = ", ".join(document) or f"no [{TABLE}] entries"
        raise ParityError(f"parity/{FILE}: {strange}", hint=hint)
    found: dict[str, Tolerance] = {}
    for keys, value in given.items():
        entry = _entry(keys, value)
        models, _, rest = keys.partition("/")
        for model in models.split(SEVERAL):
            key = f"{model}/{rest}"
            if key in found or not model.strip():
                raise ParityError(f"parity/{FILE}: {key!r} twice, or without a model", hint=hint)
            found[key] = entry
    return found


@cache
def _entries() -> dict[str, Tolerance]:
    return parse(_text())


def _text() -> str:
    return (files("trufor_onnx.parity.results") / FILE).read_text(encoding="utf-8")


def _entry(key: str, given: Any) -> Tolerance:
    hint = f"every entry has {', '.join(NUMBERS)} and a reason that names a measurement"
    if key.count("/") != 2 or not all(part.strip() for part in key.split("/")):
        raise ParityError(f"parity/{FILE}: {key!r} is not model/variant/output", hint=hint)
    if not isinstance(given, dict) or set(given) - {UNIT, CLEARED} != {*NUMBERS, "reason"}:
        raise ParityError(f"parity/{FILE}: the entry {key!r} is incomplete", hint=hint)
    reason = given["reason"]
    if not isinstance(reason, str) or not reason.strip():
        raise ParityError(f"parity/{FILE}: the entry {key!r} has no reason", hint=hint)
    numbers = {name: _number(given[name]) for name in NUMBERS}
    if not all(number >= 0.0 for number in numbers.values()):  # NaN ends here too
        raise ParityError(
            f"parity/{FILE}: a limit of {key!r} is no finite number of 0 or more", hint=hint
        )
    unit = given.get(UNIT, UNITS[0])
    if unit not in UNITS:
        raise ParityError(f"parity/{FILE}: the unit of {key!r} is none of {UNITS}", hint=hint)
    cleared = _number(given.get(CLEARED, 1.0))
    if not cleared >= 1.0:
        raise ParityError(
            f"parity/{FILE}: {CLEARED} of {key!r} is no number of 1 or more", hint=hint
        )
    relative = unit == UNITS[1]
    return Tolerance(**numbers, reason=reason.strip(), relative=relative, cleared=cleared)


def _number(given: Any) -> float:
    """A finite number as it is, anything else as NaN: an infinite limit could never fail."""
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return math.nan
    try:
        number = float(given)
    except OverflowError:
        return math.nan
    return number if math.isfinite(number) else math.nan
