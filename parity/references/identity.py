"""Is it the same network? Asked before anything runs, answered by digests.

A file's lock lists the digest of every initializer and the checkpoint's tensors that each was
made of. Five things must agree: the lock with the file, the lock's weights with the reference's,
the file's initializers with the lock's, those that the lock calls copies with the tensors that
they are copies of, and the file as a whole with what an export of the reference's tensors gives
(`parity.references.proving`). Only the last makes it proven: a lock can be written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trufor_onnx.chunking.external_data import external_files, file_document, same_files
from trufor_onnx.chunking.initializers import Contents, read_contents
from trufor_onnx.errors import ExportError, ParityError
from trufor_onnx.export.graph.provenance import CHECKPOINT
from trufor_onnx.export.lock import lock_path, read_lock
from trufor_onnx.export.networks.spec import TRACER, ModelSpec
from trufor_onnx.export.variants import DEFAULT_VARIANT
from trufor_onnx.parity.references.networks import KnownWeights
from trufor_onnx.parity.references.proving import Derived, Prover, compare
from trufor_onnx.parity.results.rows import AS_LOCKED, REFUTED, UNPROVEN, named

CANDIDATE = "candidate"  # the variant of a file that says none
UNSAID = (DEFAULT_VARIANT, CANDIDATE)  # no option of `export`
NOTHING_AT_HAND = "nothing is at hand here to derive it again from"


@dataclass(frozen=True)
class Identity:
    """What is known of a file's weights.

    Attributes:
        proof: ``proven``, ``as its lock says`` (nothing to derive it from), ``weights unproven``
            (no lock) or ``other weights``.
        reason: why it is not ``proven``, with names.
        file: name, size and digest of the ONNX file, and of files beside it with its tensors.
        variant: the exported variant, or ``candidate``.
        opset: from the lock, or None.
        origin: what the lock says of the weights, or None.
        toolchain: versions of what made the file, from the lock, or None.
        how: what proved it, or "".
    """

    proof: str
    reason: str
    file: dict[str, Any]
    variant: str
    opset: int | None = None
    origin: dict[str, Any] | None = None
    toolchain: dict[str, str] | None = None
    how: str = ""

    def document(self) -> dict[str, Any]:
        """As the report has it."""
        return {
            "proof": self.proof,
            "proof_reason": self.reason,
            "proof_how": self.how,
            "file": self.file,
            "variant": self.variant,
            "opset": self.opset,
            "file_weights": self.origin,
            "toolchain": self.toolchain,
        }


def identify(
    path: Path,
    spec: ModelSpec,
    weights: KnownWeights,
    *,
    prover: Prover | None = None,
    unlocked: str = CANDIDATE,
) -> Identity:
    """Check an ONNX file against its lock, the reference's weights, and an export of these.

    Args:
        path: the ONNX file.
        spec: the network it should be.
        weights: what the reference network runs with.
        prover: gives what an export of the weights is; None where there is nothing to make one of.
        unlocked: the variant of a file that has no lock to say it.

    Raises:
        ExportError: the lock is unreadable, or the file is no ONNX file whose weights can be read.
    """
    try:
        path.stat()
        with ThreadPoolExecutor(1) as beside:  # hashing frees the interpreter lock
            whole = beside.submit(_file, path)
            contents = read_contents(path)
            file = whole.result()
    except OSError as error:
        raise ExportError(
            f"{path}: cannot be read ({error.strerror})", hint="check the path and its permissions"
        ) from error
    lock = read_lock(path)
    if lock is None:
        reason = f"{lock_path(path).name} is not there: nobody proved whose weights these are"
        return Identity(UNPROVEN, reason, file, unlocked)
    try:
        found = _judged(file, contents, lock, spec, weights, prover)
        option = "" if lock["variant"] in UNSAID else f" --variant {lock['variant']}"
        mend = f"; export it again: python -m export {spec.name}{option}"
        return Identity(
            found.proof,
            found.reason + (mend if found.proof == REFUTED else ""),
            file,
            lock["variant"],
            lock["opset"],
            lock["weights"],
            lock["toolchain"],
            found.how,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ExportError(
            f"{lock_path(path)}: not a lock file ({type(error).__name__}: {error})",
            hint=f"delete it and export again: python -m export {spec.name}",
        ) from error


def _file(path: Path) -> dict[str, Any]:
    return file_document(path, external_files(path))


def _judged(
    file: dict[str, Any],
    contents: Contents,
    lock: Mapping[str, Any],
    spec: ModelSpec,
    weights: KnownWeights,
    prover: Prover | None,
) -> Derived:
    """What all comparisons together say."""
    digests = {name: tensor.sha256 for name, tensor in contents.initializers.items()}
    reason = _refutation(file, digests, lock, spec, weights)
    if reason:
        return Derived(REFUTED, reason=reason)
    if prover is None:
        return Derived(AS_LOCKED, reason=NOTHING_AT_HAND)
    spec = replace(spec, exporter=lock.get("exporter", TRACER))
    rebuilt = prover.rebuilt(spec, weights, variant=lock["variant"], opset=lock["opset"])
    if isinstance(rebuilt, str):
        return Derived(AS_LOCKED, reason=rebuilt)
    return compare(file["sha256"], contents, lock, rebuilt)


def _refutation(
    file: dict[str, Any],
    digests: dict[str, str],
    lock: Mapping[str, Any],
    spec: ModelSpec,
    weights: KnownWeights,
) -> str:
    """The first disagreement in words, or "" where all agree."""
    if lock["model"] != spec.name or lock["network_version"] != spec.version:
        return (
            f"its lock is of {lock['model']} version {lock['network_version']}, not of "
            f"{spec.name} version {spec.version}"
        )
    listed = {entry["name"]: entry["sha256"] for entry in lock["initializers"]}
    changed = [n for n in sorted(listed | digests) if listed.get(n) != digests.get(n)]
    if not same_files(file, lock["file"]):
        what = f"initializers that differ: {named(changed)}" if changed else "all weights the same"
        return f"the file is not the one that its lock describes; {what}"
    if lock["weights"]["digest"] != weights.digest:
        return f"it holds {lock['weights']['label']}, the reference runs with {weights.label}"
    if changed:
        return f"initializers that are not those of its lock: {named(changed)}"
    others = _not_copies(lock, weights)
    if others:
        return f"initializers that are not the checkpoint's tensors: {named(others)}"
    return ""


def _not_copies(lock: Mapping[str, Any], weights: KnownWeights) -> list[str]:
    """Initializers that the lock calls copies of a tensor, and that are not."""
    own_name = {weights.sources.get(name, name): name for name in weights.digests}
    found = []
    for entry in lock["initializers"]:
        if entry["transform"] != CHECKPOINT:
            continue
        own = own_name.get(entry["sources"][0], entry["name"])
        if entry["sha256"] != weights.digests.get(own):
            found.append(entry["name"])
    return found


def candidates_of(texts: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """The files to judge by network, from ``MODEL=FILE`` texts: all that were given, each once.

    Raises:
        ParityError: a text is not of this form.
    """
    found: dict[str, list[Path]] = {}
    for text in texts:
        name, separator, file = text.partition("=")
        if not (name and separator and file):
            raise ParityError(f"--candidate {text}: not MODEL=FILE", hint="noiseprint_pp=x.onnx")
        files = found.setdefault(name, [])
        if all(Path(file).resolve() != other.resolve() for other in files):
            files.append(Path(file))
    return {name: tuple(files) for name, files in found.items()}
