"""All rules on all evidence, in the order of the policy; the decision in lines and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from trufor_onnx.console import printable
from trufor_onnx.documents import decode, digest_of, encode, read_json
from trufor_onnx.errors import ParityError
from trufor_onnx.parity.gate.evidence import Evidence
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
from trufor_onnx.parity.results.findings import Decision, Finding, Outcome
from trufor_onnx.parity.results.tolerances import OwnTolerances, using

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


def judge(evidence: Evidence, policy: Policy, own: OwnTolerances | None = None) -> Decision:
    """Apply every rule; where the report itself does not hold, no other rule believes it.

    Args:
        evidence: what there is to judge.
        policy: the rules.
        own: limits of a user's networks. Those that a report says it was made under are not
            believed: whoever judges it names them again.
    """
    with using(own):
        return _judge(evidence, policy)


def _judge(evidence: Evidence, policy: Policy) -> Decision:
    found: list[Finding] = []
    for name, rule in RULES.items():
        if evidence.report is None and name != "report":
            why = "the report cannot be believed, see `report`"
            finding = Finding(name, Outcome.NOT_JUDGED, why, "", "")
        else:
            finding = rule(evidence, policy)
        found.append(replace(finding, reason=policy.reason(name)))
    digest = digest_of(evidence.report.document()) if evidence.report else ""
    return Decision(tuple(found), policy.digest, digest)


SCHEMA_VERSION = 1
LARGEST = 64 << 20  # bytes
HINT = "make it anew: python -m parity gate REPORT.json --json > gate.json"
MOST_DETAILS = 20


def lines(decision: Decision, *, explain: bool) -> Iterator[str]:
    """A sentence a rule, then the verdict.

    Args:
        decision: what was found.
        explain: also each rule's reason, and everything that is wrong, not only the first.
    """
    width = max(len(finding.rule) for finding in decision.findings)
    for finding in decision.findings:
        yield printable(f"{finding.outcome.value:17} {finding.rule:{width}}  {_sentence(finding)}")
        if explain:
            yield from _explained(finding)
    counts = {o: sum(f.outcome is o for f in decision.findings) for o in Outcome}
    shown = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items() if count)
    stopped = f"; stopped by: {', '.join(decision.stopped_by)}" if decision.stopped_by else ""
    yield f"gate: {decision.verdict} ({shown}){stopped}"


def document(decision: Decision) -> dict[str, Any]:
    """The decision as JSON has it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": decision.verdict,
        "exit_code": decision.exit_code,
        "stopped_by": list(decision.stopped_by),
        "policy_sha256": decision.policy_sha256,
        "report_sha256": decision.report_sha256,
        "rules": encode(decision.findings),
    }


def read_decision(path: Path, report_sha256: str) -> Decision:
    """The decision on a report, of the gate or of a release, which says where to look nowhere.

    Args:
        path: what ``parity gate --json`` wrote.
        report_sha256: the report's digest; a decision on another one is refused.

    Raises:
        ParityError: the file is missing, no decision, one on another report, or its verdict does
            not follow from its rules.
    """
    given = read_json(path, what="gate's decision", largest=LARGEST, hint=HINT)
    try:
        if not isinstance(given, dict) or given.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(f"not of schema version {SCHEMA_VERSION}")
        rules = given.get("rules")
        if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
            raise ValueError("rules: not a list of objects")
        digests = {name: given.get(name) for name in ("policy_sha256", "report_sha256")}
        although = {"although": given.get("although", "")}
        content = {"findings": [{"look": ""} | rule for rule in rules]} | digests | although
        decision = decode(Decision, content)
    except ValueError as error:
        raise ParityError(f"{path}: not a gate's decision ({error})", hint=HINT) from error
    if decision.report_sha256 != report_sha256:
        raise ParityError(
            f"{path}: it judges another report (digest {decision.report_sha256[:16] or 'unknown'})",
            hint=HINT,
        )
    said = document(decision)
    if any(said[name] != given.get(name) for name in ("verdict", "exit_code", "stopped_by")):
        raise ParityError(f"{path}: its verdict is not the one that its rules give", hint=HINT)
    return decision


def _sentence(finding: Finding) -> str:
    if not finding.allows:
        return finding.saw
    sentence = f"{finding.saw}; allowed: {finding.allows}"
    return sentence if finding.outcome is Outcome.PASS else f"{sentence}; look: {finding.look}"


def _explained(finding: Finding) -> Iterator[str]:
    yield printable(f"    why: {finding.reason}")
    if finding.look:
        yield printable(f"    look closer: {finding.look}")
    for detail in finding.details[:MOST_DETAILS]:
        yield printable(f"    - {detail}")
    if len(finding.details) > MOST_DETAILS:
        yield f"    - and {len(finding.details) - MOST_DETAILS} more, all with --json"
