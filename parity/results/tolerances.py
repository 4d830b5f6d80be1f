"""What a comparison is allowed to find, per model, variant and output, each with a reason."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
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


@dataclass(frozen=True)
class OwnTolerances:
    """A user's file of entries, which stand before those of ``tolerances.toml``.

    Attributes:
        file: its name, without its folder.
        sha256: its digest.
        entries: as `parse` gives them.
    """

    file: str
    sha256: str
    entries: Mapping[str, Tolerance]

    def document(self) -> dict[str, Any]:
        """As reports have it: which file, which entries, and those that are of shipped networks."""
        shipped = {key.partition("/")[0] for key in _entries()} - {ANY}
        return {
            "file": self.file,
            "sha256": self.sha256,
            "entries": sorted(self.entries),
            "of_shipped": sorted(k for k in self.entries if k.partition("/")[0] in shipped),
        }


def read_tolerances(path: Path | None) -> OwnTolerances | None:
    """A user's file, of the same form as ``tolerances.toml``: each entry with its reason.

    Raises:
        ParityError: it cannot be read, or is no such file.
    """
    if path is None:
        return None
    try:
        content = path.read_bytes()
        entries = parse(content.decode("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ParityError(
            f"{path}: cannot be read ({error})", hint="name a file of entries with --tolerances"
        ) from error
    return OwnTolerances(path.name, sha256_bytes(content), entries)


_in_use: ContextVar[OwnTolerances | None] = ContextVar("tolerances", default=None)


@contextmanager
def using(own: OwnTolerances | None) -> Iterator[None]:
    """Judge by a user's entries too inside the block, in this thread; None: by ours alone."""
    before = _in_use.set(own)
    try:
        yield
    finally:
        _in_use.reset(before)


def tolerance_for(model: str, variant: str, output: str) -> Tolerance:
    """The most specific entry that is in use; see `most_specific`. A user's comes before ours."""
    own = _in_use.get()
    entries = _entries() if own is None else {**_entries(), **own.entries}
    return most_specific(entries, model, plain_variant(variant), output)


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
    """The SHA-256 of ``tolerances.toml``, and of a user's file that is in use beside it.

    A stored verdict holds under these limits only.
    """
    ours, own = sha256_bytes(_text().encode()), _in_use.get()
    return ours if own is None else sha256_bytes(f"{ours} {own.sha256}".encode())


def parse(text: str, name: str = f"parity/{FILE}") -> dict[str, Tolerance]:
    """Entries by ``model/variant/output``; one for several models is called ``one|two/...``.

    Args:
        text: TOML.
        name: what errors call it.

    Raises:
        ParityError: the text is no TOML, holds no entry or something else beside them, or an entry
            lacks a finite number or its reason.
    """
    hint = f'it holds entries [{TABLE}."model/variant/output"] and nothing else'
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ParityError(f"{name}: {error}", hint=hint) from error
    given = document.pop(TABLE, None)
    if not isinstance(given, dict) or not given or document:
        strange = ", ".join(document) or f"no [{TABLE}] entries"
        raise ParityError(f"{name}: {strange}", hint=hint)
    found: dict[str, Tolerance] = {}
    for keys, value in given.items():
        entry = _entry(keys, value, name)
        models, _, rest = keys.partition("/")
        for model in models.split(SEVERAL):
            key = f"{model}/{rest}"
            if key in found or not model.strip():
                raise ParityError(f"{name}: {key!r} twice, or without a model", hint=hint)
            found[key] = entry
    return found


@cache
def _entries() -> dict[str, Tolerance]:
    return parse(_text())


def _text() -> str:
    return (files("trufor_onnx.parity.results") / FILE).read_text(encoding="utf-8")


def _entry(key: str, given: Any, name: str) -> Tolerance:
    hint = f"every entry has {', '.join(NUMBERS)} and a reason that names a measurement"
    if key.count("/") != 2 or not all(part.strip() for part in key.split("/")):
        raise ParityError(f"{name}: {key!r} is not model/variant/output", hint=hint)
    if not isinstance(given, dict) or set(given) - {UNIT, CLEARED} != {*NUMBERS, "reason"}:
        raise ParityError(f"{name}: the entry {key!r} is incomplete", hint=hint)
    reason = given["reason"]
    if not isinstance(reason, str) or not reason.strip():
        raise ParityError(f"{name}: the entry {key!r} has no reason", hint=hint)
    numbers = {which: _number(given[which]) for which in NUMBERS}
    if not all(number >= 0.0 for number in numbers.values()):  # NaN ends here too
        raise ParityError(f"{name}: a limit of {key!r} is no finite number of 0 or more", hint=hint)
    unit = given.get(UNIT, UNITS[0])
    if unit not in UNITS:
        raise ParityError(f"{name}: the unit of {key!r} is none of {UNITS}", hint=hint)
    cleared = _number(given.get(CLEARED, 1.0))
    if not cleared >= 1.0:
        raise ParityError(f"{name}: {CLEARED} of {key!r} is no number of 1 or more", hint=hint)
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
