"""Does a network still compute what it computed in the last release?"""

from __future__ import annotations

from parity.gate.evidence import Evidence
from parity.gate.findings import Finding, Outcome, verdict
from parity.gate.policy import Absent, Policy
from parity.references.sketch import Outputs, differing, recorded, who_of

LOOK = (
    "the network's code or preprocessing changed: raise the `version` of its ModelSpec, or take "
    "the change back; "
    "python -m parity run --reference OLD_RELEASE/references.bundle shows it case by case"
)
AGAIN = (
    "--baseline takes the last release's folder, its parity.json, or its references.bundle; "
    "python -m parity run on the same images"
)


def references_rule(evidence: Evidence, policy: Policy) -> Finding:
    """Float64 outputs as in the last release, where version and weights are the same.

    File and reference come from the same code: where that changed, both moved, and no comparison
    of the two shows it.
    """
    limits = policy.references
    allows = f"differences up to {limits.most_difference:g} of an output's norm, or a new version"
    earlier = evidence.outputs
    if not earlier:
        why = "no earlier release was named"
        return Finding("references", Outcome.NOT_JUDGED, why, allows, AGAIN)
    report = evidence.report
    now = recorded(report, evidence.report_name) if report else Outputs("", {})
    problems: list[str] = []
    absent: list[str] = []
    held: list[str] = []
    for model, about in report.models.items() if report else ():
        who = who_of(about)
        if who is None or who not in now.networks:
            if evidence.computes(model):
                absent.append(f"{model}: the report does not say what the network computes")
            continue
        same = [old for old in earlier if who in old.networks]
        others = {other for old in earlier for other in old.versions(who[0])} - {who}
        if not same:
            if others:
                held.append(_changed(model, who, sorted(others)))
            elif evidence.knows(model):
                absent.append(f"{model}: the baseline does not say what the network computed")
            else:
                held.append(f"{model}: new")
            continue
        counts = 0
        for old in same:
            count, wrong = differing(old, now, who, limits.most_difference)
            counts += count
            problems += wrong
        if counts:
            held.append(f"{model}: {counts} outputs as before")
        else:
            absent.append(f"{model}: no picture in common with the last release")
    if absent and not problems:
        refused = limits.when_absent is Absent.REFUSE
        outcome = Outcome.COULD_NOT if refused else Outcome.NOT_JUDGED
        return Finding("references", outcome, absent[0], allows, AGAIN, tuple(absent))
    return verdict("references", problems, saw="; ".join(held), allows=allows, look=LOOK)


def _changed(model: str, who: tuple[str, ...], others: list[tuple[str, str, str, str]]) -> str:
    """In what a network is another one than it was."""
    versions = sorted({other[1] for other in others})
    if who[1] not in versions:
        return f"{model}: version {who[1]}, was {', '.join(versions)}: its outputs are new"
    return f"{model}: other weights than before"
