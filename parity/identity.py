"""Is it the same network? Asked before anything runs, answered by digests.

A file's lock lists the digest of every initializer and the checkpoint's tensors that each was
made of. Four things must agree: the lock with the file, the lock's weights with the reference's,
the file's initializers with the lock's, and those that the lock calls copies with the tensors
that they are copies of.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chunking.hashing import sha256_file
from export.errors import ExportError
from export.lock import lock_path, read_lock
from export.provenance import CHECKPOINT
from export.spec import ModelSpec
from parity.initializers import initializer_digests
from parity.proof import PROVEN as PROVEN
from parity.proof import REFUTED as REFUTED
from parity.proof import UNPROVEN as UNPROVEN
from parity.references.known_weights import WeightsFacts

CANDIDATE = "candidate"  # the variant of a file that says none
SHOWN = 5


@dataclass(frozen=True)
class Identity:
    """What is known of a file's weights.

    Attributes:
        proof: ``proven``, ``weights unproven`` (no lock) or ``other weights``.
        reason: why it is not ``proven``, with names.
        file: name, size and digest of the ONNX file.
        variant: the exported variant, or ``candidate``.
        opset: from the lock, or None.
        origin: what the lock says of the weights, or None.
        toolchain: versions of what made the file, from the lock, or None.
    """

    proof: str
    reason: str
    file: dict[str, Any]
    variant: str
    opset: int | None = None
    origin: dict[str, Any] | None = None
    toolchain: dict[str, str] | None = None

    def document(self) -> dict[str, Any]:
        """As the report has it."""
        return {
            "proof": self.proof,
            "proof_reason": self.reason,
            "file": self.file,
            "variant": self.variant,
            "opset": self.opset,
            "file_weights": self.origin,
            "toolchain": self.toolchain,
        }


def identify(
    path: Path, spec: ModelSpec, weights: WeightsFacts, *, unlocked: str = CANDIDATE
) -> Identity:
    """Check an ONNX file against its lock and the reference's weights.

    Args:
        path: the ONNX file.
        spec: the network it should be.
        weights: what the reference network runs with.
        unlocked: the variant of a file that has no lock to say it.

    Raises:
        ExportError: the lock is unreadable, or the file is no ONNX file with its weights inside.
    """
    try:
        size = path.stat().st_size
        with ThreadPoolExecutor(1) as beside:  # hashing frees the interpreter lock
            whole = beside.submit(sha256_file, path)
            digests = initializer_digests(path)
            file = {"name": path.name, "size_bytes": size, "sha256": whole.result()}
    except OSError as error:
        raise ExportError(
            f"{path}: cannot be read ({error.strerror})", hint="check the path and its permissions"
        ) from error
    lock = read_lock(path)
    if lock is None:
        reason = f"{lock_path(path).name} is not there: nobody proved whose weights these are"
        return Identity(UNPROVEN, reason, file, unlocked)
    try:
        reason = _refutation(file, digests, lock, spec, weights)
        return Identity(
            REFUTED if reason else PROVEN,
            f"{reason}; export it again: python -m export {spec.name}" if reason else "",
            file,
            lock["variant"],
            lock["opset"],
            lock["weights"],
            lock["toolchain"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ExportError(
            f"{lock_path(path)}: not a lock file ({type(error).__name__}: {error})",
            hint=f"delete it and export again: python -m export {spec.name}",
        ) from error


def _refutation(
    file: Mapping[str, Any],
    digests: dict[str, str],
    lock: Mapping[str, Any],
    spec: ModelSpec,
    weights: WeightsFacts,
) -> str:
    """The first disagreement in words, or "" where all agree."""
    if lock["model"] != spec.name or lock["network_version"] != spec.version:
        return (
            f"its lock is of {lock['model']} version {lock['network_version']}, not of "
            f"{spec.name} version {spec.version}"
        )
    listed = {entry["name"]: entry["sha256"] for entry in lock["initializers"]}
    changed = [n for n in sorted(listed | digests) if listed.get(n) != digests.get(n)]
    if file["sha256"] != lock["file"]["sha256"]:
        what = f"initializers that differ: {_names(changed)}" if changed else "all weights the same"
        return f"the file is not the one that its lock describes; {what}"
    if lock["weights"]["digest"] != weights.digest:
        return f"it holds {lock['weights']['label']}, the reference runs with {weights.label}"
    if changed:
        return f"initializers that are not those of its lock: {_names(changed)}"
    others = _not_copies(lock, weights)
    if others:
        return f"initializers that are not the checkpoint's tensors: {_names(others)}"
    return ""


def _not_copies(lock: Mapping[str, Any], weights: WeightsFacts) -> list[str]:
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


def _names(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
