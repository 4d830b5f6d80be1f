"""Every limit is a finite number with a reason; the most specific entry wins."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.results import tolerances
from trufor_onnx.parity.results.tolerances import (
    NUMBERS,
    Tolerance,
    most_specific,
    parse,
    tolerance_for,
)

GOOD = {**dict.fromkeys(NUMBERS, "1e-5"), "reason": '"measured on 50 images"'}


def entry(key: str = "*/*/*", **changes: str | None) -> str:
    given = GOOD | changes
    lines = [f"{name} = {value}" for name, value in given.items() if value is not None]
    return f'[tolerance."{key}"]\n' + "\n".join(lines) + "\n"


def test_the_project_s_own_file_is_sound_and_covers_everything() -> None:
    found = tolerance_for("any network", "any variant", "any output")
    assert found.reason
    assert 0.0 < found.mae < found.max_abs


def test_an_entry_is_read() -> None:
    assert parse(entry("net/*/map")) == {
        "net/*/map": Tolerance(1e-5, 1e-5, 1e-5, 1e-5, 1e-5, "measured on 50 images")
    }


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "value",
    ["nan", "inf", "-inf", "-1.0", '"1e-5"', "true", "[1.0]", "1979-05-27", "1" + "0" * 400],
)
def test_a_limit_that_is_no_finite_number_is_refused(name: str, value: str) -> None:
    with pytest.raises(ParityError, match="no finite number"):
        parse(entry(**{name: value}))


@pytest.mark.parametrize("name", [*NUMBERS, "reason"])
def test_an_incomplete_entry_is_refused(name: str) -> None:
    with pytest.raises(ParityError, match="incomplete"):
        parse(entry(**{name: None}))


@pytest.mark.parametrize("reason", ['""', '"  \\t"', "1.5", "true", '["a"]'])
def test_a_limit_without_a_reason_is_refused(reason: str) -> None:
    with pytest.raises(ParityError, match="no reason"):
        parse(entry(reason=reason))


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ParityError, match="incomplete"):
        parse(entry(max_ab="1.0"))


@pytest.mark.parametrize("key", ["*", "net/map", "a/b/c/d", "//", "net//map", " / / "])
def test_a_key_must_name_model_variant_and_output(key: str) -> None:
    with pytest.raises(ParityError, match="is not model/variant/output"):
        parse(entry(key))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tolerance = 3",
        "[tolerance]",
        'tolerances."*/*/*" = 1',
        '[tolerance]\n"*/*/*" = 5',
        entry() + "[other]\nx = 1",
        "[tolerance",
        "a = [" * 3000,
    ],
    ids=range(8),
)
def test_a_file_without_entries_or_with_others_is_refused(text: str) -> None:
    with pytest.raises(ParityError, match=r"tolerances\.toml"):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert parse(text)
    except ParityError as error:
        assert error.hint


PLACES = list(itertools.product(("net", "*"), ("portable", "*"), ("map", "*")))


@pytest.mark.parametrize("best", range(len(PLACES)))
def test_model_counts_before_variant_before_output(best: int) -> None:
    any_entry = parse(entry())["*/*/*"]
    entries = {
        "/".join(key): replace(any_entry, reason="/".join(key)) for key in reversed(PLACES[best:])
    }
    found = most_specific(entries, "net", "portable", "map")
    assert found.reason == "/".join(PLACES[best])


def test_entries_of_others_do_not_fit() -> None:
    entries = parse(entry("net/portable/map"))
    for others in (
        ("other", "portable", "map"),
        ("net", "gpu", "map"),
        ("net", "portable", "conf"),
    ):
        with pytest.raises(ParityError, match="no tolerance for"):
            most_specific(entries, *others)


def test_the_digest_is_of_the_file_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    before = tolerances.tolerances_digest()
    assert before == tolerances.tolerances_digest()
    monkeypatch.setattr(tolerances, "_text", lambda: entry())
    assert tolerances.tolerances_digest() != before


def test_limits_may_be_shares_of_the_spread() -> None:
    assert parse(entry(unit='"spread"'))["*/*/*"].relative
    assert not parse(entry(unit='"output"'))["*/*/*"].relative
    with pytest.raises(ParityError, match="the unit of"):
        parse(entry(unit='"range"'))


def test_an_entry_may_be_of_several_models() -> None:
    found = parse(entry("one|two/*/map"))
    assert set(found) == {"one/*/map", "two/*/map"}
    for bad in ("one|/*/map", "one|one/*/map"):
        with pytest.raises(ParityError, match="twice, or without a model"):
            parse(entry(bad))


@pytest.mark.parametrize("output", ["map", "conf", "score", "noiseprint"])
def test_a_network_of_others_has_no_limits_in_units_whatever_its_outputs_are_called(
    output: str,
) -> None:
    assert tolerance_for("a user's", "portable", output).relative
    assert not tolerance_for("trufor", "portable", output).relative


def test_how_far_a_file_that_is_right_in_float64_may_be_off() -> None:
    assert parse(entry())["*/*/*"].cleared == 1.0
    assert parse(entry(cleared="4.0"))["*/*/*"].cleared == 4.0
    for wrong in ("0.5", "nan", "inf", '"4"', "true"):
        with pytest.raises(ParityError, match="cleared of"):
            parse(entry(cleared=wrong))
