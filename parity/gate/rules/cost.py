"""What a release costs: memory and time, against budgets and earlier releases."""

from __future__ import annotations

from collections.abc import Iterator

from parity.gate.costs import Change, Costs, changes, different_environment
from parity.gate.evidence import Evidence
from parity.gate.findings import Finding, Outcome, verdict
from parity.gate.policy import Absent, Elsewhere, Policy, budget

MEMORY_LOOK = "python -m parity compare OLD_BENCH.json BENCH.json"
LATENCY_LOOK = MEMORY_LOOK


def memory_rule(evidence: Evidence, policy: Policy) -> Finding:
    """Peaks of fresh processes within their budgets, and not grown over the baseline's."""
    limits = policy.memory
    allows = (
        f"the policy's budgets, and {limits.growth:g} times the baseline's peak in the same "
        "environment"
    )
    costs = evidence.costs
    peaks = {key: cost for key, cost in costs.entries.items() if cost.peak_bytes} if costs else {}
    if not peaks:
        why = "no bench report was given" if costs is None else "the bench report has no peaks"
        return _absent("memory", limits.when_absent, why, allows)

    def problems() -> Iterator[str]:
        for cost in peaks.values():
            peak = cost.peak_bytes or 0
            most = budget(limits.most_bytes, cost.model, cost.variant)
            if most is None:
                yield f"{cost.model}/{cost.variant}: no budget in memory.most_bytes"
            elif peak > most:
                yield f"{cost.name}: peak {peak:,} bytes, the budget is {most:,}"
        for old in evidence.cost_baselines:
            if costs is None or different_environment(costs, old):
                continue  # `latency` says so
            for key, cost in peaks.items():
                before = old.entries[key].peak_bytes if key in old.entries else None
                peak = cost.peak_bytes or 0
                if before and peak > max(limits.growth * before, before + limits.slack_bytes):
                    yield f"{cost.name}: peak {peak:,} bytes, the baseline's is {before:,}"

    largest = max(peaks.values(), key=lambda cost: cost.peak_bytes or 0)
    return verdict(
        "memory",
        problems(),
        saw=f"{len(peaks)} peaks, the largest {largest.peak_bytes:,} bytes ({largest.name})",
        allows=allows,
        look=MEMORY_LOOK,
    )


def latency_rule(evidence: Evidence, policy: Policy) -> Finding:
    """Not slower than the baseline by more than the noise and the least effect."""
    limits = policy.latency
    allows = (
        f"up to {limits.least_effect:.0%} or the A/A floor slower, judged by medians with "
        f"{limits.confidence:.0%} confidence, in one environment"
    )
    costs, baselines = evidence.costs, evidence.cost_baselines
    if costs is None or not baselines:
        missing = "bench report" if costs is None else "baseline of a bench report"
        return _absent("latency", limits.when_absent, f"no {missing} was given", allows)
    here = [old for old in baselines if not different_environment(costs, old)]
    elsewhere = [found for old in baselines if (found := different_environment(costs, old))]
    if elsewhere and (not here or limits.other_environment is Elsewhere.REFUSE):
        warn = limits.other_environment is Elsewhere.WARN
        return Finding(
            "latency",
            Outcome.NOT_JUDGED if warn else Outcome.COULD_NOT,
            f"the baseline was measured elsewhere: {elsewhere[0]}",
            allows,
            "measure the baseline's files again on this machine: `make bench`",
            tuple(elsewhere),
        )
    found = [change for old in here for change in changes(costs, old, limits.confidence)]
    lost = [name for old in here for name in _lost(costs, old)]
    unknown = [*lost, *(c.problem for c in found if c.problem)]
    slower = [_sentence(change) for change in found if change.slower(limits.least_effect)]
    if slower:
        return verdict("latency", slower, saw="", allows=allows, look=LATENCY_LOOK)
    if unknown or not found:
        why = unknown[0] if unknown else "nothing was measured in both"
        return Finding("latency", Outcome.COULD_NOT, why, allows, LATENCY_LOOK, tuple(unknown))
    worst = max(found, key=lambda change: change.ratio.median if change.ratio else 0.0)
    return verdict(
        "latency",
        (),
        saw=f"{len(found)} timings; the most changed: {_sentence(worst)}",
        allows=allows,
        look=LATENCY_LOOK,
    )


def _absent(rule: str, when: Absent, why: str, allows: str) -> Finding:
    outcome = Outcome.COULD_NOT if when is Absent.REFUSE else Outcome.NOT_JUDGED
    return Finding(rule, outcome, why, allows, "make bench; then --bench and --baseline")


def _lost(now: Costs, old: Costs) -> Iterator[str]:
    """What the baseline has of this run's networks and this run has not measured."""
    models = {cost.model for cost in now.entries.values()}
    for key, cost in old.entries.items():
        if cost.model in models and cost.is_candidate and key not in now.entries:
            yield f"{cost.name}: the baseline has it, and it was not measured now"


def _sentence(change: Change) -> str:
    ratio = change.ratio
    if ratio is None:
        return change.problem
    return (
        f"{change.name}: {ratio.median:.2f} times the baseline's time ({ratio.low:.2f} to "
        f"{ratio.high:.2f}, A/A floor {change.floor:.0%}, {change.of})"
    )
