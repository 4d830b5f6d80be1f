"""Where the nodes of the graph really ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from parity.gate.evidence import Evidence, Subject
from parity.gate.findings import Finding, Outcome, verdict
from parity.gate.policy import Absent, PlacementRule, Policy


def placement_rule(evidence: Evidence, policy: Policy) -> Finding:
    """No node that a device was meant to compute was computed elsewhere."""
    limits = policy.placement
    problems: list[str] = []
    absent: list[str] = []
    counted: list[str] = []
    for subject in evidence.subjects:
        ran = sorted({row.provider for row in subject.rows if row.mae is not None})
        given = subject.said("placement")
        for provider in ran:
            key = provider if subject.is_first else f"{provider} ({subject.variant})"
            found = given.get(key) if isinstance(given, Mapping) else None
            if not isinstance(found, Mapping):
                absent.append(f"{subject.name}: nothing says where {provider}'s nodes ran")
                continue
            problems += _problems(subject, provider, found, limits)
            counted.append(f"{subject.name} {provider}: {_shown(found.get('nodes'))}")
    allows = f"{limits.most_lost_nodes} nodes elsewhere, but for shape arithmetic"
    look = "`placement` in parity.json: nodes by provider, operators that fell back"
    if absent and not problems:
        refused = limits.when_absent is Absent.REFUSE
        if refused or not counted:
            outcome = Outcome.COULD_NOT if refused else Outcome.NOT_JUDGED
            return Finding("placement", outcome, absent[0], allows, look, tuple(absent))
    return verdict(
        "placement", problems, saw="; ".join(counted) or "nothing", allows=allows, look=look
    )


def _problems(
    subject: Subject, provider: str, found: Mapping[str, object], limits: PlacementRule
) -> Iterator[str]:
    lost, nodes = found.get("fell_back_ops"), found.get("nodes")
    if not isinstance(lost, Mapping) or not isinstance(nodes, Mapping) or not nodes:
        yield f"{subject.name}, {provider}: its placement names no nodes"
        return
    counts = {
        str(name): count
        for name, count in lost.items()
        if name not in limits.free_operators and type(count) is int
    }
    if sum(counts.values()) > limits.most_lost_nodes:
        shown = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        yield f"{subject.name}: asked for {provider}, elsewhere ran {shown} ({_shown(nodes)})"


def _shown(nodes: object) -> str:
    if not isinstance(nodes, Mapping):
        return "unknown"
    return ", ".join(f"{count} nodes on {name}" for name, count in nodes.items())
