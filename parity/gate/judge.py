"""All rules on all evidence, in the order of the policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from trufor_onnx.documents import digest_of
from trufor_onnx.parity.gate.evidence import Evidence
from trufor_onnx.parity.gate.findings import Decision, Finding, Outcome
from trufor_onnx.parity.gate.policy import Policy
from trufor_onnx.parity.gate.rules.cost import latency_rule, memory_rule
from trufor_onnx.parity.gate.rules.files import locate_rule, pieces_rule, placement_rule, size_rule
from trufor_onnx.parity.gate.rules.numbers import (
    accuracy_rule,
    outputs_rule,
    references_rule,
    verdicts_rule,
)
from trufor_onnx.parity.gate.rules.origin import contract_rule, digests_rule, weights_rule
from trufor_onnx.parity.gate.rules.whole import (
    cases_rule,
    complete_rule,
    report_rule,
    tolerances_rule,
)

Rule = Callable[[Evidence, Policy], Finding]
RULES: dict[str, Rule] = {
    "report": report_rule,
    "tolerances": tolerances_rule,
    "weights": weights_rule,
    "contract": contract_rule,
    "digests": digests_rule,
    "cases": cases_rule,
    "complete": complete_rule,
    "outputs": outputs_rule,
    "verdicts": verdicts_rule,
    "accuracy": accuracy_rule,
    "references": references_rule,
    "pieces": pieces_rule,
    "size": size_rule,
    "memory": memory_rule,
    "placement": placement_rule,
    "latency": latency_rule,
    "locate": locate_rule,
}
assert list(RULES) == [field.name for field in fields(Policy)]


def judge(evidence: Evidence, policy: Policy) -> Decision:
    """Apply every rule; where the report itself does not hold, no other rule believes it."""
    found: list[Finding] = []
    for name, rule in RULES.items():
        if evidence.report is None and name != "report":
            why = "the report cannot be believed, see `report`"
            found.append(Finding(name, Outcome.NOT_JUDGED, why, "", ""))
            continue
        found.append(rule(evidence, policy))
    digest = digest_of(evidence.report.document()) if evidence.report else ""
    return Decision(tuple(found), policy.digest, digest)
