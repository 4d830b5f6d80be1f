"""The decision over all rules: nothing to judge is never a pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.parity.gate.conftest import of
from trufor_onnx.parity.gate.policy import Policy
from trufor_onnx.parity.results.findings import Decision, Finding, Outcome


@pytest.mark.parametrize("rule", ["pieces", "memory", "latency", "digests", "placement"])
def test_what_cannot_be_judged_is_no_pass(
    good: Any, policy: Callable[[str], Policy], rule: str
) -> None:
    (good.models / "tiny_np.onnx").unlink()

    def forget(document: dict[str, Any]) -> None:
        document["models"]["tiny_np"]["placement"] = {}

    good.edit(forget)
    strict = policy(f'[{rule}]\nreason = "wanted"\nwhen_absent = "refuse"\n')
    decision = good.judged(policy=strict)
    assert of(decision, rule).outcome is Outcome.COULD_NOT
    assert decision.exit_code == 2
    lax = policy(f'[{rule}]\nreason = "not wanted"\nwhen_absent = "allow"\n')
    assert of(good.judged(policy=lax), rule).outcome is Outcome.NOT_JUDGED


def test_nothing_judged_at_all_is_exit_2() -> None:
    found = Finding("pieces", Outcome.NOT_JUDGED, "", "", "")
    assert Decision((found,), "", "").exit_code == 2
    assert Decision((), "", "").exit_code == 2
