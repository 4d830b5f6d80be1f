"""Whose weights, under which contract, and is the file that was measured the one that ships?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from trufor_onnx.chunking.external_data import beside, is_plain, whole_digest
from trufor_onnx.chunking.folders import default_folder, open_folder
from trufor_onnx.documents import below, canonical
from trufor_onnx.errors import ChunkingError, ExportError
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.networks.spec import TIMM_PREFIX
from trufor_onnx.files import sha256_file
from trufor_onnx.parity.gate.evidence import Evidence, JudgedFile
from trufor_onnx.parity.gate.policy import Absent, Policy, WeightsRule
from trufor_onnx.parity.results.findings import Finding, absent, verdict
from trufor_onnx.parity.results.rows import AS_LOCKED, PROVEN, named, said

STAND_IN = "stand-in"


def weights_rule(evidence: Evidence, policy: Policy) -> Finding:
    """Every weight in the file was derived again from the checkpoint, which is a trained one."""
    rule = policy.weights
    allows = "every weight and the graph derived again from the checkpoint"
    allows += ", or a lock that is trusted" if rule.trust_lock else ", or a signed release's lock"
    allows += ", stand-in weights too" if rule.allow_stand_in else ""
    return verdict(
        "weights",
        (problem for subject in evidence.subjects for problem in _weights(subject, rule)),
        saw="; ".join(
            f"{s.name}: {s.said('weights', 'label')}, {_way(s)}" for s in evidence.subjects
        ),
        allows=allows,
        look="python -m export MODEL --weights FILE, then measure anew with the checkpoint at hand "
        "or a bundle of it; the lock lists each weight",
    )


def contract_rule(evidence: Evidence, policy: Policy) -> Finding:  # noqa: ARG001 - as all rules
    """Measured with the preprocessing that the file is shipped with."""
    return verdict(
        "contract",
        (problem for subject in evidence.subjects for problem in _contract(subject)),
        saw="; ".join(
            f"{s.name}: pixels / {s.said('preprocessing', 'scale')}" for s in evidence.subjects
        ),
        allows="one preprocessing in the report, in the lock and in the network's description",
        look="run without --pixel-scale; `preprocessing` in NAME.lock.json",
    )


def digests_rule(evidence: Evidence, policy: Policy) -> Finding:
    """Report, lock and file on the disk (or its pieces) are of the same bytes."""
    missing: list[str] = []
    problems = [p for subject in evidence.subjects for p in _digests(subject, missing)]
    problems += _timed(evidence)
    allows = "one digest in the report, in the lock and on the disk"
    look = "python -m export MODEL, then measure anew; sha256sum onnx_models/*.onnx"
    if missing and not problems:
        refused = policy.digests.when_absent is Absent.REFUSE
        return absent("digests", refused, missing, allows=allows, look=look)
    return verdict(
        "digests",
        problems,
        saw="; ".join(f"{s.name}: {s.sha256[:16]}" for s in evidence.subjects),
        allows=allows,
        look=look,
    )


def _way(subject: JudgedFile) -> str:
    """What proves a file's weights, or why its lock is trusted."""
    way = said(subject.about)
    return f"{way}; trusted: signed in {subject.signed_by}" if subject.signed_by else way


def _weights(subject: JudgedFile, rule: WeightsRule) -> Iterator[str]:
    proof = subject.said("proof")
    trusted = proof == AS_LOCKED and bool(rule.trust_lock or subject.signed_by)
    if proof != PROVEN and not trusted:
        yield f"{subject.name}: {proof}: {subject.said('proof_reason') or 'no reason given'}"
    others = {row.proof for row in subject.rows} - {proof}
    if (proof == PROVEN or trusted) and others:
        yield f"{subject.name}: rows that are {', '.join(sorted(others))}"
    for who, weights in (
        ("report", subject.said("weights")),
        ("file", subject.said("file_weights")),
        ("lock", below(subject.lock, "weights")),
    ):
        if weights is None:
            continue  # without a lock: not proven, said above
        made_up = below(weights, "kind") == STAND_IN or below(weights, "stand_in")
        if made_up and not rule.allow_stand_in:
            label = below(weights, "label")
            yield f"{subject.name}: {label} ({who}): made from a seed, not by training"
        given, whole = (below(weights, "coverage", key) for key in ("tensors_set", "tensors"))
        if type(given) is not int or given != whole:
            yield f"{subject.name}: {given} of {whole} tensors came from the checkpoint ({who})"
        fresh = [] if rule.allow_untrained_looking else _untrained(weights, rule)
        if fresh:
            yield f"{subject.name}: {len(fresh)} tensors look untrained ({who}): {named(fresh)}"


def _untrained(weights: object, rule: WeightsRule) -> list[str]:
    """Tensors that look as a network is made, but for those that the policy names."""
    listed = below(weights, "look_untrained")
    return [
        f"{name} ({what})"
        for name, what in (listed.items() if isinstance(listed, Mapping) else ())
        if not any(fnmatchcase(name, pattern) for pattern in rule.trained_as_they_are)
    ]


def _contract(subject: JudgedFile) -> Iterator[str]:
    said = subject.said("preprocessing")
    expected: dict[str, Any] = {"lock": below(subject.lock, "preprocessing")}
    if not subject.model.startswith(TIMM_PREFIX):  # timm would be imported, and torch with it
        with suppress(ExportError):  # a network of somebody else's package: the lock alone speaks
            expected["network's description"] = find(subject.model).preprocessing.document()
    for who, contract in expected.items():
        if contract is not None and canonical(contract) != canonical(said):
            different = [key for key in contract if below(said, key) != contract[key]]
            shown = ", ".join(
                f"{key} {below(said, key)} instead of {contract[key]}" for key in different
            )
            yield f"{subject.name}: measured with {shown} of the {who}"
    if all(contract is None for contract in expected.values()):
        yield f"{subject.name}: nothing says how pictures enter"


def _digests(subject: JudgedFile, missing: list[str]) -> Iterator[str]:
    name, path = subject.name, subject.path
    if path is None:
        yield f"{name}: the report's file name is no plain file name"
        return
    if subject.lock is None:
        yield subject.lock_problem or f"{name}: {path.with_suffix('.lock.json')} is not there"
        return
    pairs = (
        ("file", subject.sha256, below(subject.lock, "file", "sha256")),
        ("size", subject.said("file", "size_bytes"), below(subject.lock, "file", "size_bytes")),
        ("weights", subject.said("weights", "digest"), below(subject.lock, "weights", "digest")),
        ("variant", subject.variant, subject.lock["variant"]),
        ("network version", subject.said("network_version"), subject.lock["network_version"]),
    )
    for what, ours, locked in pairs:
        if ours != locked:
            yield f"{name}: {what} {str(ours)[:16]} in the report, {str(locked)[:16]} in the lock"
    if beside(subject.said("file")) != beside(subject.lock["file"]):
        yield f"{name}: the files beside it with its tensors are others in the lock"
    found = _on_disk(path)
    if found is None:
        missing.append(f"{name}: neither {path} nor its pieces are there")
        return
    if found[1] != subject.sha256:
        yield f"{name}: {found[0]} is {found[1][:16]}, measured was {subject.sha256[:16]}"
    yield from _beside(subject, path)


def _beside(subject: JudgedFile, path: Path) -> Iterator[str]:
    """Files that hold the model's tensors, which must be those that were measured."""
    for file, sha256 in beside(subject.said("file")).items():
        if not is_plain(file):
            yield f"{subject.name}: {file!a} is no file's name"
            continue
        place = path.with_name(file)
        try:
            found = sha256_file(place)
        except OSError as error:
            found = f"unreadable ({error.strerror})"
        if found != sha256:
            yield f"{subject.name}: {place} is {found[:16]}, measured was {str(sha256)[:16]}"


def _timed(evidence: Evidence) -> Iterator[str]:
    """Files of the bench report that are not those that were compared."""
    measured = {(s.model, s.variant): whole_digest(s.said("file")) for s in evidence.subjects}
    for cost in evidence.costs.entries.values() if evidence.costs else ():
        ours = measured.get((cost.model, cost.variant))
        if ours is not None and cost.sha256 != ours:
            yield f"{cost.name}: timed was {cost.sha256[:16]}, compared was {str(ours)[:16]}"


def _on_disk(path: Path) -> tuple[str, str] | None:
    """The file, or else its pieces' manifest, with the digest; None where neither is there."""
    try:
        if path.is_file():
            return str(path), sha256_file(path)
        folder = default_folder(path)
        if folder.is_dir():
            return str(folder), open_folder(folder).manifest.file.sha256
    except (OSError, ChunkingError) as error:
        return str(path), f"unreadable ({error})"
    return None
