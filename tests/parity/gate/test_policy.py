"""The policy file: what it may say, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.gate.policy import Absent, Policy, budget, load_policy


def test_every_rule_of_the_packaged_policy_has_a_reason() -> None:
    packaged = load_policy()
    for field in fields(packaged):
        assert len(packaged.reason(field.name)) > 20, field.name


def test_a_file_changes_what_it_names_and_nothing_else(policy: Callable[[str], Policy]) -> None:
    mine = policy(
        '[pieces]\nreason = "we ship pieces"\nwhen_absent = "refuse"\n'
        '[size]\nreason = "small devices"\n[size.most_bytes]\n"net/*" = 5\n'
    )
    default = load_policy()
    assert mine.pieces.when_absent is Absent.REFUSE
    assert mine.reason("pieces") == "we ship pieces"
    assert mine.size.most_bytes == {**default.size.most_bytes, "net/*": 5}
    assert mine.size.growth == default.size.growth
    assert (mine.latency, mine.weights) == (default.latency, default.weights)
    assert mine.digest != default.digest == load_policy().digest


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[nonsense]\nreason = 'x'", "no rule is called 'nonsense'"),
        ("[cases]\nreason = 'x'\nleast = 1", "missing or unknown: least"),
        ("[cases]\nleast_images = 1", "gives no reason of its own"),
        ("[cases]\nreason = ' '", "a rule gives no reason"),
        ("[cases]\nreason = 'x'\nleast_images = 0", "at least one image"),
        ("[cases]\nreason = 'x'\nleast_images = '3'", "str instead of int"),
        ("[cases]\nreason = 'x'\nleast_images = true", "bool instead of int"),
        ("[complete]\nreason = 'x'\nrequired_providers = []", "at least one required provider"),
        ("[accuracy]\nreason = 'x'\ngrowth = nan", "Accuracy.growth: float instead of float"),
        ("[latency]\nreason = 'x'\nconfidence = 1.0", "between 0.5 and 1"),
        ("[latency]\nreason = 'x'\nleast_effect = 3.0", "between 0 and 1"),
        ("[latency]\nreason = 'x'\nmust_see = 0.05", "must_see is more than least_effect"),
        ("[size]\nreason = 'x'\ngrowth = 0.5", "a growth is 1 or more"),
        ("[pieces]\nreason = 'x'\nwhen_absent = 'maybe'", "pieces"),
        ("cases = 3", "gives no reason"),
        ("[cases", "mine.toml"),
    ],
)
def test_what_is_refused(policy: Callable[[str], Policy], text: str, problem: str) -> None:
    with pytest.raises(ParityError) as caught:
        policy(text)
    assert problem in caught.value.problem
    assert "docs/gate.md" in caught.value.hint


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="cannot be read"):
        load_policy(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ({"net/ort": 1, "net/*": 2, "*/ort": 3, "*/*": 4}, 1),
        ({"net/*": 2, "*/ort": 3, "*/*": 4}, 2),
        ({"*/ort": 3, "*/*": 4}, 3),
        ({"*/*": 4}, 4),
        ({"other/*": 5}, None),
    ],
)
def test_the_most_specific_budget_wins(table: dict[str, int], found: Any) -> None:
    assert budget(table, "net", "ort") == found
