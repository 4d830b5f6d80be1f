"""The gate's decision, as ``parity gate --json`` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trufor_onnx.documents import decode, read_json
from trufor_onnx.errors import ParityError
from trufor_onnx.parity.report.html.elements import Markup, el, join, state

SCHEMA_VERSION = 1
LARGEST = 64 << 20  # bytes
HINT = "make it anew: python -m parity gate REPORT.json --json > gate.json"
ORDER = {"fail": 0, "could not compare": 1, "not judged": 2, "pass": 3}


@dataclass(frozen=True)
class Rule:
    """What one rule saw: the fields of a rule in the gate's JSON.

    Attributes:
        rule: its name.
        outcome: ``pass``, ``fail``, ``could not compare`` or ``not judged``.
        saw, allows, look, reason: sentences.
        details: everything that is wrong.
    """

    rule: str
    outcome: str
    saw: str
    allows: str
    look: str
    reason: str
    details: tuple[str, ...]


@dataclass(frozen=True)
class Gate:
    """A decision.

    Attributes:
        verdict: ``pass``, ``fail`` or ``could not compare``.
        rules: every rule's.
        report_sha256: the digest of the report that was judged.
        policy_sha256: the digest of the policy.
        although: why a release went out all the same, or "".
    """

    verdict: str
    rules: tuple[Rule, ...]
    report_sha256: str
    policy_sha256: str
    although: str = ""


def read_gate(path: Path, report_sha256: str) -> Gate:
    """The decision on a report.

    Args:
        path: what ``parity gate --json`` wrote.
        report_sha256: the report's digest; a decision on another one is refused.

    Raises:
        ParityError: the file is missing, no decision, or one on another report.
    """
    document = read_json(path, what="gate's decision", largest=LARGEST, hint=HINT)
    try:
        gate = _gate(document)
    except ValueError as error:
        raise ParityError(f"{path}: not a gate's decision ({error})", hint=HINT) from error
    if gate.report_sha256 != report_sha256:
        raise ParityError(
            f"{path}: it judges another report (digest {gate.report_sha256[:16] or 'unknown'})",
            hint=HINT,
        )
    return gate


def gate_section(gate: Gate | None) -> Markup:
    """A line a rule, the worst first. Without a decision: not run."""
    if gate is None:
        return join(
            [
                el("p", state("not run"), " No decision of the gate came with this report."),
                el(
                    "p",
                    "To judge it: ",
                    el("code", "python -m parity gate parity.json"),
                    class_="muted",
                ),
            ]
        )
    rules = sorted(gate.rules, key=lambda rule: ORDER.get(rule.outcome, 0))
    return join(
        [
            el("p", state(gate.verdict), f" {_counted(gate)}; policy {gate.policy_sha256[:16]}"),
            el("p", "Released all the same: ", el("b", gate.although)) if gate.although else None,
            el("ul", (_rule(rule) for rule in rules), class_="rules"),
        ]
    )


def _rule(rule: Rule) -> Markup:
    about = (("allowed", rule.allows), ("look closer", rule.look), ("why", rule.reason))
    details = None
    if len(rule.details) > 1:
        details = el(
            "details",
            el("summary", f"all {len(rule.details)}"),
            el("ul", (el("li", text) for text in rule.details)),
        )
    return el(
        "li",
        el("p", state(rule.outcome), " ", el("b", rule.rule), f": {rule.saw}"),
        details,
        el("p", "; ".join(f"{name}: {text}" for name, text in about if text), class_="muted"),
    )


def _counted(gate: Gate) -> str:
    counts: dict[str, int] = {}
    for rule in gate.rules:
        counts[rule.outcome] = counts.get(rule.outcome, 0) + 1
    return ", ".join(f"{number} {outcome}" for outcome, number in counts.items())


def _gate(document: Any) -> Gate:
    """The decision in a document of the gate, or of a release, which says where to look nowhere.

    Raises:
        ValueError: it is none, or of another version.
    """
    if not isinstance(document, Mapping) or document.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"not of schema version {SCHEMA_VERSION}")
    content = {
        key: document[key]
        for key in ("verdict", "report_sha256", "policy_sha256")
        if key in document
    }
    rules = document.get("rules")
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise ValueError("rules: not a list of objects")
    content["rules"] = [{"look": ""} | rule for rule in rules]
    return decode(Gate, content | {"although": document.get("although", "")})
