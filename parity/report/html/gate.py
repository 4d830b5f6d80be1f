"""The gate's decision: a line a rule, the worst first."""

from __future__ import annotations

from collections import Counter

from trufor_onnx.parity.report.html.elements import Markup, el, join, state
from trufor_onnx.parity.results.findings import Decision, Finding, Outcome

ORDER = (Outcome.FAIL, Outcome.COULD_NOT, Outcome.NOT_JUDGED, Outcome.PASS)


def gate_section(gate: Decision | None) -> Markup:
    """A line a rule. Without a decision: not run."""
    if gate is None:
        command = el("code", "python -m parity gate parity.json")
        return join(
            [
                el("p", state("not run"), " No decision of the gate came with this report."),
                el("p", "To judge it: ", command, class_="muted"),
            ]
        )
    counts = Counter(finding.outcome for finding in gate.findings)
    counted = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
    findings = sorted(gate.findings, key=lambda finding: ORDER.index(finding.outcome))
    return join(
        [
            el("p", state(gate.verdict), f" {counted}; policy {gate.policy_sha256[:16]}"),
            el("p", "Released all the same: ", el("b", gate.although)) if gate.although else None,
            el("ul", map(_finding, findings), class_="rules"),
        ]
    )


def _finding(finding: Finding) -> Markup:
    about = {"allowed": finding.allows, "look closer": finding.look, "why": finding.reason}
    details = None
    if len(finding.details) > 1:
        details = el(
            "details",
            el("summary", f"all {len(finding.details)}"),
            el("ul", (el("li", text) for text in finding.details)),
        )
    return el(
        "li",
        el("p", state(finding.outcome), " ", el("b", finding.rule), f": {finding.saw}"),
        details,
        el("p", "; ".join(f"{k}: {text}" for k, text in about.items() if text), class_="muted"),
    )
