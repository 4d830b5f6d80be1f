"""Is each layer of each file the network's own, also where no output shows it?"""

from __future__ import annotations

from trufor_onnx.parity.gate.evidence import Evidence, JudgedFile
from trufor_onnx.parity.gate.findings import Finding, Outcome, verdict
from trufor_onnx.parity.gate.policy import Absent, Policy
from trufor_onnx.parity.results.rows import RUNTIME

ALLOWS = "no part of a file creates error, no number in it is another one"
LOOK = "python -m parity locate MODEL --candidate FILE --all"


def locate_rule(evidence: Evidence, policy: Policy) -> Finding:
    """`parity locate` found nothing in any file of the report.

    The runtime's files are networks' own: they are looked at under the networks' names.
    """
    refused = policy.locate.when_absent is Absent.REFUSE
    found = evidence.located
    subjects = [subject for subject in evidence.subjects if subject.model != RUNTIME]
    if found is None or not subjects:
        why = "no file of a network" if found is not None else "--locate was not asked for"
        outcome = Outcome.COULD_NOT if refused else Outcome.NOT_JUDGED
        return Finding("locate", outcome, why, ALLOWS, "python -m parity gate --locate")
    by_file = {(one.model, one.variant): one for one in found}
    faults, problems, fine = [], [], []
    for subject in subjects:
        one = by_file.get((subject.model, subject.variant))
        if one is None or one.problem:
            problems.append(f"{subject.name}: {one.problem if one else 'not looked at'}")
        elif one.sha256 != _sha256(subject):
            problems.append(
                f"{subject.name}: looked at was {one.sha256[:16]}, measured was "
                f"{_sha256(subject)[:16]}"
            )
        elif one.first:
            faults.append(f"{subject.name}: {one.sentence}")
        else:
            fine.append(f"{subject.name}: {one.sentence}")
    if problems and not faults:
        return Finding("locate", Outcome.COULD_NOT, problems[0], ALLOWS, LOOK, tuple(problems))
    return verdict("locate", [*faults, *problems], saw=" ".join(fine), allows=ALLOWS, look=LOOK)


def _sha256(subject: JudgedFile) -> str:
    return str(subject.said("file", "sha256"))
