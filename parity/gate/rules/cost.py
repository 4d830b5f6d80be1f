"""What a release costs: memory and time, against budgets and earlier releases."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from export.external_data import whole_digest
from parity.gate.changes import (
    Change,
    changes_across,
    changes_in_turns,
    different_environment,
    files_of,
    unmeasured,
)
from parity.gate.costs import Costs, Key
from parity.gate.evidence import Evidence, below
from parity.gate.findings import Finding, Outcome, verdict
from parity.gate.policy import Absent, AcrossRuns, Elsewhere, Latency, Policy, budget

LOOK = "python -m parity compare OLD_BENCH.json BENCH.json"
IN_TURN = "time the old file in turns with the new one: parity bench --candidate MODEL=OLD.onnx"


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
    limits, costs = policy.latency, evidence.costs
    allows = (
        f"up to {limits.least_effect:.0%} slower ({limits.confidence:.0%} confidence) or within "
        "the A/A floor, by medians of rounds in which both files took turns"
    )
    if costs is None:
        return _absent("latency", limits.when_absent, "no bench report was given", allows)
    found = changes_in_turns(costs, _old_files(evidence), limits.confidence)
    across, elsewhere = _across(costs, evidence, found.keys(), limits.confidence)
    judged = [*found.values(), *(across if limits.across_runs is AcrossRuns.JUDGE else ())]
    # Slower by all that noise allows stops a release however it was measured.
    slower = [str(change) for change in (*found.values(), *across) if _slower(change, limits)]
    if slower:
        return verdict("latency", slower, saw="", allows=allows, look=LOOK)
    unknown = [name for old in evidence.cost_baselines for name in unmeasured(costs, old)]
    unknown += [problem for change in judged if (problem := _too_noisy(change, limits))]
    if limits.other_environment is Elsewhere.REFUSE:
        unknown += elsewhere
    if limits.across_runs is AcrossRuns.REFUSE:
        unknown += [f"{change}: not timed in turns with the old file" for change in across]
    if unknown:
        return Finding("latency", Outcome.COULD_NOT, unknown[0], allows, IN_TURN, tuple(unknown))
    if not judged:
        why = elsewhere[0] if elsewhere else "the old files were not timed in turns with the new"
        return _absent("latency", limits.when_absent, why, allows)
    worst = max(judged, key=lambda change: change.ratio.median if change.ratio else 0.0)
    saw = f"{len(judged)} timings; the most changed: {worst}"
    return verdict("latency", (), saw=saw, allows=allows, look=LOOK)


def _old_files(evidence: Evidence) -> dict[tuple[str, str], set[str]]:
    """Digests of the baselines' files, by model and variant."""
    found: dict[tuple[str, str], set[str]] = {}
    for costs in evidence.cost_baselines:
        for key, digests in files_of(costs).items():
            found.setdefault(key, set()).update(digests)
    for report in evidence.baselines:
        for model, about in report.models.items():
            variants = below(about, "variants")
            for entry in variants.values() if isinstance(variants, dict) else [about]:
                key = (model, str(below(entry, "variant")))
                found.setdefault(key, set()).add(whole_digest(below(entry, "file")))
    return found


def _across(
    costs: Costs, evidence: Evidence, known: Collection[Key], confidence: float
) -> tuple[list[Change], list[str]]:
    """Changes between two runs of one environment, and what was measured in another."""
    found: list[Change] = []
    elsewhere: list[str] = []
    for old in evidence.cost_baselines:
        different = different_environment(costs, old)
        for key, change in changes_across(costs, old, confidence).items():
            if key in known:
                continue
            if different:
                elsewhere.append(f"{change.name}: the baseline was measured elsewhere: {different}")
            else:
                found.append(change)
    return found, elsewhere


def _slower(change: Change, limits: Latency) -> bool:
    return change.slower(limits.least_effect)


def _too_noisy(change: Change, limits: Latency) -> str:
    """Why a timing says nothing, or ""."""
    if change.problem or not change.may_hide(limits.must_see):
        return change.problem
    return f"{change}: too noisy to exclude {limits.must_see:.0%}; time more rounds (--repeats 60)"


def _absent(rule: str, when: Absent, why: str, allows: str) -> Finding:
    outcome = Outcome.COULD_NOT if when is Absent.REFUSE else Outcome.NOT_JUDGED
    return Finding(
        rule,
        outcome,
        why,
        allows,
        "make bench, then `parity gate --bench bench.json --baseline OLD.json`",
    )
