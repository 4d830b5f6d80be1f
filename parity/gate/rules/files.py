"""What is to be seen at a file itself: its size, its pieces, where it ran, its layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trufor_onnx.chunking.folders import default_folder
from trufor_onnx.chunking.verifying import verify
from trufor_onnx.documents import below
from trufor_onnx.errors import ChunkingError
from trufor_onnx.parity.gate.evidence import Evidence, JudgedFile
from trufor_onnx.parity.gate.policy import Absent, PlacementRule, Policy, budget
from trufor_onnx.parity.results.findings import Finding, Outcome, absent, verdict, with_unjudged
from trufor_onnx.parity.results.rows import RUNTIME, Report

LOCATE = "python -m parity locate MODEL --candidate MODEL=FILE --all"


def pieces_rule(evidence: Evidence, policy: Policy) -> Finding:
    """Where a file lies in pieces, they are whole and make up the file that was measured."""
    problems: list[str] = []
    checked: list[str] = []
    missing: list[str] = []
    for subject in evidence.subjects:
        folder = default_folder(subject.path) if subject.path else None
        if folder is None or not folder.is_dir():
            missing.append(f"{subject.name}: no folder of pieces")
            continue
        checked.append(folder.name)
        try:
            found = verify(folder)
        except ChunkingError as error:
            problems.append(error.problem)
            continue
        problems += [f"{folder}: {fault}" for fault in found.faults]
        whole = found.manifest.file.sha256
        if whole != subject.said("file", "sha256"):
            problems.append(f"{folder}: the pieces of {whole[:16]}, which is not what was measured")
    allows = "every piece's place, size and SHA-256, and nothing else in the folder"
    look = "python -m chunking verify DIR --full; make split"
    if missing and not problems:
        refused = policy.pieces.when_absent is Absent.REFUSE
        if refused or not checked:
            return absent("pieces", refused, missing, allows=allows, look=look)
    return verdict("pieces", problems, saw=f"whole: {', '.join(checked)}", allows=allows, look=look)


def size_rule(evidence: Evidence, policy: Policy) -> Finding:
    """Bytes within the budget, and not over the baseline's by more than it may grow."""
    limits = policy.size

    def problems() -> Iterator[str]:
        for subject in evidence.subjects:
            size = _size(subject.said("file"))
            most = budget(limits.most_bytes, subject.model, subject.variant)
            if size is None or size <= 0:
                yield f"{subject.name}: no size"
                continue
            if most is None:
                yield f"{subject.model}/{subject.variant}: no budget in size.most_bytes"
            elif size > most:
                yield f"{subject.name}: {size:,} bytes, the budget is {most:,}"
            for old in evidence.baselines:
                before = _size_before(old, subject)
                if before is not None and size > limits.growth * before:
                    yield f"{subject.name}: {size:,} bytes, the baseline has {before:,}"

    found = verdict(
        "size",
        problems(),
        saw="; ".join(f"{s.name}: {_size(s.said('file')) or 0:,} bytes" for s in evidence.subjects),
        allows=f"the policy's budgets, and {limits.growth:g} times the baseline's size",
        look="python -m chunking inspect DIR --against OLD says which tensors are new",
    )
    unjudged = [
        f"{subject.name}: no baseline has the size of its file"
        for subject in evidence.subjects
        if evidence.knows(subject.model)
        and all(_size_before(old, subject) is None for old in evidence.baselines)
    ]
    return with_unjudged(found, unjudged, "within the budget")


def _size_before(old: Report, subject: JudgedFile) -> int | None:
    """The size of the same network's and variant's file in an earlier run."""
    about = below(old.models, subject.model)
    entry = below(about, "variants", subject.variant)
    if entry is None and below(about, "variant") == subject.variant:
        entry = about
    return _size(below(entry, "file"))


def _size(file: object) -> int | None:
    """Bytes of a file and of those beside it with its tensors, or None."""
    beside = below(file, "external")
    entries = [file, *(beside if isinstance(beside, list) else ())]
    sizes = [below(entry, "size_bytes") for entry in entries]
    return sum(sizes) if all(type(size) is int for size in sizes) else None


def placement_rule(evidence: Evidence, policy: Policy) -> Finding:
    """No node that a device was meant to compute was computed elsewhere."""
    limits = policy.placement
    problems: list[str] = []
    missing: list[str] = []
    counted: list[str] = []
    for subject in evidence.subjects:
        ran = sorted({row.provider for row in subject.rows if row.mae is not None})
        given = subject.said("placement")
        for provider in ran:
            key = provider if subject.is_first else f"{provider} ({subject.variant})"
            found = given.get(key) if isinstance(given, Mapping) else None
            if not isinstance(found, Mapping):
                missing.append(f"{subject.name}: nothing says where {provider}'s nodes ran")
                continue
            problems += _problems(subject, provider, found, limits)
            counted.append(f"{subject.name} {provider}: {_shown(found.get('nodes'))}")
    allows = f"{limits.most_lost_nodes} nodes elsewhere, but for shape arithmetic"
    look = "`placement` in parity.json: nodes by provider, operators that fell back"
    if missing and not problems:
        refused = limits.when_absent is Absent.REFUSE
        if refused or not counted:
            return absent("placement", refused, missing, allows=allows, look=look)
    return verdict(
        "placement", problems, saw="; ".join(counted) or "nothing", allows=allows, look=look
    )


def _problems(
    subject: JudgedFile, provider: str, found: Mapping[str, object], limits: PlacementRule
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


def locate_rule(evidence: Evidence, policy: Policy) -> Finding:
    """`parity locate` found nothing in any file of the report.

    The runtime's files are networks' own: they are looked at under the networks' names.
    """
    allows = "no part of a file creates error, no number in it is another one"
    found = evidence.located
    subjects = [subject for subject in evidence.subjects if subject.model != RUNTIME]
    if found is None or not subjects:
        why = "no file of a network" if found is not None else "--locate was not asked for"
        look, refused = "python -m parity gate --locate", policy.locate.when_absent is Absent.REFUSE
        return absent("locate", refused, (), allows=allows, look=look, why=why)
    by_file = {(one.model, one.variant): one for one in found}
    faults, problems, fine = [], [], []
    for subject in subjects:
        one = by_file.get((subject.model, subject.variant))
        if one is None or one.problem:
            problems.append(f"{subject.name}: {one.problem if one else 'not looked at'}")
        elif one.sha256 != subject.sha256:
            problems.append(
                f"{subject.name}: looked at was {one.sha256[:16]}, measured was "
                f"{subject.sha256[:16]}"
            )
        elif one.first:
            faults.append(f"{subject.name}: {one.sentence}")
        else:
            fine.append(f"{subject.name}: {one.sentence}")
    if problems and not faults:
        return Finding("locate", Outcome.COULD_NOT, problems[0], allows, LOCATE, tuple(problems))
    return verdict("locate", [*faults, *problems], saw=" ".join(fine), allows=allows, look=LOCATE)
