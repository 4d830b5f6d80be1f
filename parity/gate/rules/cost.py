"""What a release costs: memory and time, against budgets and earlier releases."""

from __future__ import annotations

from collections.abc import Iterator

from parity.gate.changes import IN_TURNS, Change, changes, different_environment, unmeasured
from parity.gate.evidence import Evidence
from parity.gate.findings import Finding, Outcome, verdict
from parity.gate.policy import Absent, Elsewhere, Policy, budget

LOOK = "python -m parity compare OLD_BENCH.json BENCH.json"
ELSEWHERE = "time the old file in turns with the new one: parity bench --candidate MODEL=OLD.onnx"


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
        look=LOOK,
    )


def latency_rule(evidence: Evidence, policy: Policy) -> Finding:
    """Not slower than the baseline by more than the noise and the least effect."""
    limits = policy.latency
    allows = (
        f"up to {limits.least_effect:.0%} slower ({limits.confidence:.0%} confidence) or within "
        "the A/A floor, by medians of rounds, in one environment"
    )
    costs, baselines = evidence.costs, evidence.cost_baselines
    if costs is None or not baselines:
        missing = "bench report" if costs is None else "baseline of a bench report"
        return _absent("latency", limits.when_absent, f"no {missing} was given", allows)
    found: list[Change] = []
    elsewhere: list[str] = []
    for old in baselines:
        different = different_environment(costs, old)
        for change in changes(costs, old, limits.confidence):
            if different and change.of != IN_TURNS:
                elsewhere.append(f"{change.name}: the baseline was measured elsewhere: {different}")
            else:
                found.append(change)
    slower = [str(change) for change in found if change.slower(limits.least_effect)]
    if slower:
        return verdict("latency", slower, saw="", allows=allows, look=LOOK)
    unknown = [name for old in baselines for name in unmeasured(costs, old)]
    unknown += [change.problem for change in found if change.problem]
    unknown += [
        f"{change}: too noisy to exclude {limits.must_see:.0%}; time more rounds (--repeats 60)"
        for change in found
        if change.may_hide(limits.must_see)
    ]
    if elsewhere and limits.other_environment is Elsewhere.REFUSE:
        unknown = elsewhere + unknown
    if unknown:
        return Finding("latency", Outcome.COULD_NOT, unknown[0], allows, ELSEWHERE, tuple(unknown))
    if not found:
        why = elsewhere[0] if elsewhere else "nothing was measured in both"
        outcome = Outcome.NOT_JUDGED if elsewhere else Outcome.COULD_NOT
        return Finding("latency", outcome, why, allows, ELSEWHERE, tuple(elsewhere))
    worst = max(found, key=lambda change: change.ratio.median if change.ratio else 0.0)
    return verdict(
        "latency",
        (),
        saw=f"{len(found)} timings; the most changed: {worst}",
        allows=allows,
        look=LOOK,
    )


def _absent(rule: str, when: Absent, why: str, allows: str) -> Finding:
    outcome = Outcome.COULD_NOT if when is Absent.REFUSE else Outcome.NOT_JUDGED
    return Finding(
        rule,
        outcome,
        why,
        allows,
        "make bench, then `parity gate --bench bench.json --baseline OLD.json`",
    )
