"""What a release costs: memory and time, against budgets and earlier releases."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from trufor_onnx.parity.gate.costs import (
    CANDIDATE,
    Change,
    Cost,
    Costs,
    Key,
    changes_across,
    changes_in_turns,
    different_environment,
    files_of,
    unmeasured,
)
from trufor_onnx.parity.gate.evidence import Evidence
from trufor_onnx.parity.gate.policy import (
    Absent,
    AcrossRuns,
    Elsewhere,
    LatencyRule,
    Policy,
    budget,
)
from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.findings import Finding, Outcome, absent, verdict

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
        return _absent("memory", limits.when_absent, (), allows, why)

    compared, over, elsewhere = _peaks_compared(evidence, limits.growth, limits.slack_bytes)

    def problems() -> Iterator[str]:
        for cost in peaks.values():
            peak = cost.peak_bytes or 0
            most = budget(limits.most_bytes, cost.model, cost.variant)
            if most is None:
                yield f"{cost.model}/{cost.variant}: no budget in memory.most_bytes"
            elif peak > most:
                yield f"{cost.name}: peak {peak:,} bytes, the budget is {most:,}"
        yield from over

    largest = max(peaks.values(), key=lambda cost: cost.peak_bytes or 0)
    found = verdict(
        "memory",
        problems(),
        saw=f"{len(peaks)} peaks, the largest {largest.peak_bytes:,} bytes ({largest.name})",
        allows=allows,
        look=LOOK,
    )
    unjudged = [
        f"{cost.name}: {elsewhere or 'no baseline has a peak of it'}"
        for key, cost in _to_compare(evidence).items()
        if key not in compared
    ]
    if unjudged and found.outcome is Outcome.PASS:
        return _absent("memory", limits.when_absent, unjudged, allows)
    return found


def _to_compare(evidence: Evidence) -> dict[Key, Cost]:
    """What was measured of the release's networks, where a baseline knows the network too.

    A file that was named as a candidate counts where the report judges it; else it is there to be
    compared with. A network that no baseline has is new, and has budgets only.
    """
    candidates = {subject.model for subject in evidence.subjects if subject.variant == CANDIDATE}
    entries = evidence.costs.entries if evidence.costs else {}
    return {
        key: cost
        for key, cost in entries.items()
        if cost.is_candidate
        and evidence.knows(cost.model)
        and (cost.variant != CANDIDATE or cost.model in candidates)
    }


def _peaks_compared(
    evidence: Evidence, growth: float, slack: int
) -> tuple[set[Key], list[str], str]:
    """Peaks beside the baselines': which have one, which are over it, and why others have none."""
    compared: set[Key] = set()
    over: list[str] = []
    elsewhere = ""
    costs = evidence.costs
    if costs is None:
        return compared, over, elsewhere

    def compare(cost: Cost, before: int | None, whose: str) -> bool:
        peak = cost.peak_bytes
        if not (peak and before):
            return False
        if peak > max(growth * before, before + slack):
            over.append(f"{cost.name}: peak {peak:,} bytes, {whose} is {before:,}")
        return True

    old_files = _old_files(evidence)
    released = {subject.model for subject in evidence.subjects if subject.variant == CANDIDATE}
    for key, cost in costs.entries.items():
        for other in costs.entries.values():
            as_this = replace(Contestant.of(other), variant=cost.variant)
            same = (as_this, other.size) == key
            if not same or other is cost or CANDIDATE not in (cost.variant, other.variant):
                continue
            named = {
                *old_files.get((cost.model, cost.variant), ()),
                *old_files.get((cost.model, other.variant), ()),
            }
            is_old = bool(other.sha256) and other.sha256 in named
            if is_old and compare(cost, other.peak_bytes, "the old file's, in the same run,"):
                compared.add(key)
            elif other.variant == CANDIDATE and cost.model not in released and not is_old:
                # No baseline has it: whoever named it wanted to see it beside the export.
                compare(cost, other.peak_bytes, "the candidate's, in the same run,")
    for old in evidence.cost_baselines:
        different = different_environment(costs, old)
        if different:
            elsewhere = f"the baseline was measured elsewhere: {different}"
            continue
        for key, cost in costs.entries.items():
            before = old.entries[key].peak_bytes if key in old.entries else None
            if compare(cost, before, "the baseline's"):
                compared.add(key)
    return compared, over, elsewhere


def latency_rule(evidence: Evidence, policy: Policy) -> Finding:
    """Not slower than the baseline by more than the noise and the least effect."""
    limits, costs = policy.latency, evidence.costs
    allows = (
        f"up to {limits.least_effect:.0%} slower ({limits.confidence:.0%} confidence) or within "
        "the A/A floor, by medians of rounds in which both files took turns"
    )
    if costs is None:
        return _absent("latency", limits.when_absent, (), allows, "no bench report was given")
    found = changes_in_turns(costs, _old_files(evidence), limits.confidence)
    across, elsewhere = _across(costs, evidence, found.keys(), limits.confidence)
    judged = [*found.values(), *(across if limits.across_runs is AcrossRuns.JUDGE else ())]
    # Slower by all that noise allows stops a release however it was measured.
    slower = [str(c) for c in (*found.values(), *across) if c.slower(limits.least_effect)]
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
    compared = {*found, *(change.name for change in across)}
    unjudged = elsewhere + [
        f"{cost.name}: {cost.problem or 'no baseline has a time of it'}"
        for key, cost in _to_compare(evidence).items()
        if key not in compared and cost.name not in compared
    ]
    if unjudged or not judged:
        why = "" if unjudged else "the old files were not timed in turns with the new"
        return _absent("latency", limits.when_absent, unjudged, allows, why)
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
        for key, digests in report.digests().items():
            found.setdefault(key, set()).update(digests)
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


def _too_noisy(change: Change, limits: LatencyRule) -> str:
    """Why a timing says nothing, or ""."""
    if change.problem or not change.may_hide(limits.must_see):
        return change.problem
    return f"{change}: too noisy to exclude {limits.must_see:.0%}; time more rounds (--repeats 60)"


def _absent(rule: str, when: Absent, missing: Sequence[str], allows: str, why: str = "") -> Finding:
    look = "make bench, then `parity gate --bench bench.json --baseline OLD.json`"
    return absent(rule, when is Absent.REFUSE, missing, allows=allows, look=look, why=why)
