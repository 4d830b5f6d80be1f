"""All rules on all evidence, in the order of the policy; the decision in lines and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

from trufor_onnx.console import EXIT_COULD_NOT, EXIT_FAILED, EXIT_OK, printable
from trufor_onnx.documents import digest_of, encode
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


SCHEMA_VERSION = 1
MOST_DETAILS = 20
WORDS = {EXIT_OK: "pass", EXIT_FAILED: "fail", EXIT_COULD_NOT: "could not compare"}


def lines(decision: Decision, policy: Policy, *, explain: bool) -> Iterator[str]:
    """A sentence a rule, then the verdict.

    Args:
        decision: what was found.
        policy: for the reasons.
        explain: also each rule's reason, and everything that is wrong, not only the first.
    """
    width = max(len(finding.rule) for finding in decision.findings)
    for finding in decision.findings:
        yield printable(f"{finding.outcome.value:17} {finding.rule:{width}}  {_sentence(finding)}")
        if explain:
            yield from _explained(finding, policy)
    counts = {o: sum(f.outcome is o for f in decision.findings) for o in Outcome}
    shown = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items() if count)
    stopped = f"; stopped by: {', '.join(decision.stopped_by)}" if decision.stopped_by else ""
    yield f"gate: {WORDS[decision.exit_code]} ({shown}){stopped}"


def document(decision: Decision, policy: Policy) -> dict[str, Any]:
    """The decision as JSON has it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": WORDS[decision.exit_code],
        "exit_code": decision.exit_code,
        "stopped_by": list(decision.stopped_by),
        "policy_sha256": decision.policy_sha256,
        "report_sha256": decision.report_sha256,
        "rules": [
            encode(finding) | {"reason": policy.reason(finding.rule)}
            for finding in decision.findings
        ],
    }


def json_text(decision: Decision, policy: Policy) -> str:
    """The document: sorted keys, ASCII, no NaN."""
    return json.dumps(document(decision, policy), indent=1, sort_keys=True, allow_nan=False) + "\n"


def _sentence(finding: Finding) -> str:
    if not finding.allows:
        return finding.saw
    sentence = f"{finding.saw}; allowed: {finding.allows}"
    return sentence if finding.outcome is Outcome.PASS else f"{sentence}; look: {finding.look}"


def _explained(finding: Finding, policy: Policy) -> Iterator[str]:
    yield printable(f"    why: {policy.reason(finding.rule)}")
    if finding.look:
        yield printable(f"    look closer: {finding.look}")
    for detail in finding.details[:MOST_DETAILS]:
        yield printable(f"    - {detail}")
    if len(finding.details) > MOST_DETAILS:
        yield f"    - and {len(finding.details) - MOST_DETAILS} more, all with --json"
