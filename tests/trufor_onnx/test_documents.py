"""To JSON without NaN; back only if every field is there, of its own type, and nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.documents import decode, encode, parse_json
from trufor_onnx.parity.results.rows import Status


@dataclass(frozen=True)
class Inner:
    flag: bool


@dataclass(frozen=True)
class Outer:
    name: str
    count: int
    share: float | None
    status: Status
    sizes: tuple[int, ...]
    found: Mapping[str, float | bool]
    inner: Inner
    rest: Any


GOOD: dict[str, Any] = {
    "name": "x",
    "count": 3,
    "share": 0.5,
    "status": "not run",
    "sizes": [1, 2],
    "found": {"a": True, "b": 0.25},
    "inner": {"flag": False},
    "rest": [{"any": None}],
}


def test_everything_that_it_understands() -> None:
    expected = Outer(
        "x", 3, 0.5, Status.NOT_RUN, (1, 2), {"a": True, "b": 0.25}, Inner(False), [{"any": None}]
    )
    found = decode(Outer, GOOD)
    assert found == expected
    assert found.found["a"] is True


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", None),
        ("name", 3),
        ("count", True),
        ("count", 3.0),
        ("count", "3"),
        ("share", "0.5"),
        ("share", True),
        ("share", float("nan")),
        ("share", float("inf")),
        ("share", 10**400),
        ("status", "passed"),
        ("status", None),
        ("sizes", {"1": 1}),
        ("sizes", [1, "2"]),
        ("found", [1.0]),
        ("found", {"a": "b"}),
        ("found", {"a": None}),
        ("inner", {"flag": 0}),
        ("inner", {}),
        ("inner", None),
    ],
)
def test_another_type_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"Outer.{key}: "):
        decode(Outer, GOOD | {key: value})


def test_missing_and_unknown_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="missing or unknown: count"):
        decode(Outer, {key: value for key, value in GOOD.items() if key != "count"})
    with pytest.raises(ValueError, match="missing or unknown: more"):
        decode(Outer, GOOD | {"more": 1})


@pytest.mark.parametrize("document", [None, 3, "x", [], [GOOD]])
def test_what_is_no_object_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="instead of an object"):
        decode(Outer, document)


def test_an_integer_is_a_float_too() -> None:
    found = decode(Outer, GOOD | {"share": 1})
    assert found.share == 1.0
    assert isinstance(found.share, float)


@given(st.floats(), st.floats(), st.floats())
def test_json_never_holds_nan_or_infinity(first: float, second: float, third: float) -> None:
    given_values = {"x": first, "deep": {"y": [second, {"z": (third,)}]}}
    text = json.dumps(encode(given_values), allow_nan=False)
    back = json.loads(text)
    assert back["x"] == (first if math.isfinite(first) else None)
    assert back["deep"]["y"][1]["z"] == [third if math.isfinite(third) else None]


def test_a_dataclass_and_its_document() -> None:
    assert encode(decode(Outer, GOOD)) == GOOD
    assert type(encode(decode(Outer, GOOD))["status"]) is str


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1, "a": 2}', "a key stands twice"),
        ('{"a": {"b": [{"c": 1, "c": 1}]}}', "a key stands twice"),
        ('{"a": NaN}', "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("[" * 100_000, "nested too deeply"),
        ("", "Expecting value"),
    ],
)
def test_json_that_two_readers_would_read_differently_is_refused(text: str, why: str) -> None:
    for data in (text, text.encode()):
        with pytest.raises(ValueError, match=why):
            parse_json(data)
    assert parse_json(b'{"a": [1, 2.5, null, true]}') == {"a": [1, 2.5, None, True]}
    assert parse_json('{"a": 1, "a": 2}', object_pairs_hook=dict) == {"a": 2}
