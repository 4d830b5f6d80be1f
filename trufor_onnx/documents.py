"""Frozen dataclasses to plain JSON and back: every key, no other key, the right types."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import types
import typing
from collections.abc import Hashable, Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from trufor_onnx.errors import ParityError
from trufor_onnx.files import sha256_bytes

T = TypeVar("T")
DIGEST = "digest"
OPTIONAL = "optional"  # in a field's metadata: None is left out of the JSON, as older ones do


def parse_json(data: bytes | str, **hooks: Any) -> Any:
    """The value in a JSON text; no other line of the product reads JSON.

    Args:
        data: the text.
        hooks: of `json.loads`, where somebody is stricter still, or reads what other tools write.

    Raises:
        ValueError: it is no JSON, or nested too deeply; a key stands twice in an object, so that
            two readers would take two values; it holds NaN or Infinity, which JSON does not have.
    """
    try:
        return json.loads(
            data, **{"object_pairs_hook": _no_key_twice, "parse_constant": _no_number} | hooks
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return document


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number that JSON has")


def read_json(path: Path, *, what: str, largest: int, hint: str) -> Any:
    """The JSON in a file.

    Args:
        path: the file.
        what: what it should be; errors say ``not a {what}``.
        largest: the most bytes that are read.
        hint: how to get a right one.

    Raises:
        ParityError: it cannot be read, is larger, or holds no JSON.
    """
    return json_of(read_bytes(path, what=what, largest=largest, hint=hint), path, what, hint)


def read_bytes(path: Path, *, what: str, largest: int, hint: str) -> bytes:
    """A file's content; arguments as for `read_json`.

    Raises:
        ParityError: it cannot be read, or is larger.
    """
    try:
        if path.stat().st_size > largest:
            raise ParityError(f"{path}: too large for a {what}", hint=hint)
        return path.read_bytes()
    except OSError as error:
        raise ParityError(f"{path}: cannot be read ({error.strerror})", hint=hint) from error


def json_of(data: bytes, path: Path, what: str, hint: str) -> Any:
    """The JSON that was read from a file; arguments as for `read_json`.

    Raises:
        ParityError: it is none.
    """
    try:
        return parse_json(data)
    except ValueError as error:
        raise ParityError(f"{path}: not a {what} ({error})", hint=hint) from error


def encode(value: Any) -> Any:
    """A dataclass, or what is in one, as JSON has it.

    JSON has no NaN and no infinity: they become null. A StrEnum becomes its text.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {field.name: encode(getattr(value, field.name)) for field in _fields(value)}
        optional = {field.name for field in _fields(value) if field.metadata.get(OPTIONAL)}
        return {k: v for k, v in found.items() if not (v is None and k in optional)}
    if isinstance(value, Mapping):
        return {key: encode(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [encode(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.value if isinstance(value, Enum) else value


def digest_of(document: Mapping[str, Any]) -> str:
    """The SHA-256 of a document without its own ``digest``, in one encoding.

    It shows slips: a figure edited by hand, a file cut short. Who edits on purpose can compute it
    anew; only a signature over the file stops that.
    """
    content = {key: value for key, value in document.items() if key != DIGEST}
    return sha256_bytes(canonical(content).encode())


def decode(kind: type[T], document: object) -> T:
    """A dataclass from the JSON object that holds its fields.

    Understands str, int, float, bool, None, enumerations, ``tuple[X, ...]``, ``Mapping[str, X]``,
    unions of these, and dataclasses of them.

    Raises:
        ValueError: a field is missing, unknown or of another type; the message names it.
    """
    if not isinstance(document, dict):
        raise ValueError(f"{kind.__name__}: {type(document).__name__} instead of an object")
    hints = _hints(typing.cast(Hashable, kind))
    absent = _optional(typing.cast(Hashable, kind)) - document.keys()
    if document.keys() != hints.keys() - absent:
        names = ", ".join(sorted(document.keys() ^ (hints.keys() - absent), key=str))
        raise ValueError(f"{kind.__name__}: missing or unknown: {names}")
    values = {}
    for name in hints.keys() - absent:
        hint = hints[name]
        try:
            values[name] = _value(hint, document[name])
        except ValueError as error:
            raise ValueError(f"{kind.__name__}.{name}: {error}") from error
    return kind(**values)


def _fields(of: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(of)


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    assert isinstance(kind, type) and dataclasses.is_dataclass(kind)
    given = typing.get_type_hints(kind)
    return {field.name: given[field.name] for field in dataclasses.fields(kind)}


@cache
def _optional(kind: Hashable) -> frozenset[str]:
    assert isinstance(kind, type) and dataclasses.is_dataclass(kind)
    return frozenset(field.name for field in _fields(kind) if field.metadata.get(OPTIONAL))


def _value(hint: Any, given: object) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return given
    if origin is types.UnionType:
        return _first_that_fits(arguments, given)
    if origin is tuple and isinstance(given, list):
        return tuple(_value(arguments[0], item) for item in given)
    if origin is Mapping and isinstance(given, dict):
        return {key: _value(arguments[1], item) for key, item in given.items()}
    if isinstance(hint, type):
        return _plain(hint, given)
    raise ValueError(f"{type(given).__name__} instead of {_shown(hint)}")


def _plain(hint: type, given: object) -> Any:
    if dataclasses.is_dataclass(hint):
        return decode(hint, given)
    if issubclass(hint, Enum) and isinstance(given, str):
        return hint(given)
    if hint is float and type(given) in (int, float):
        number = typing.cast(float, given)
        # json reads NaN and Infinity, which JSON does not have, and integers of any length.
        if abs(number) <= sys.float_info.max:
            return float(number)
    elif type(given) is hint:  # exactly: True is no int here
        return given
    raise ValueError(f"{type(given).__name__} instead of {_shown(hint)}")


def _first_that_fits(hints: tuple[Any, ...], given: object) -> Any:
    # The type itself before one that would convert it: 0 stays 0 in `float | int`.
    for hint in sorted(hints, key=lambda hint: type(given) is not hint):
        try:
            return _value(hint, given)
        except ValueError:
            continue
    raise ValueError(f"{type(given).__name__} instead of {' or '.join(map(_shown, hints))}")


def _shown(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def below(document: object, *keys: str) -> Any:
    """What lies below some keys of nested objects, or None."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def mapping(given: object) -> Mapping[str, Any]:
    """An object as it is, anything else as an empty one."""
    return given if isinstance(given, Mapping) else {}


def text_of(document: Mapping[str, Any]) -> str:
    """A document as files hold it: sorted keys, a line a value, ASCII, no NaN."""
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"


def canonical(value: object) -> str:
    """JSON on one line: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
