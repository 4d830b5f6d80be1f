"""Is it the same network? Asked before anything runs, answered by digests.

A file's lock lists the digest of every initializer and the checkpoint's tensors that each was
made of. Three things must agree: the lock with the file, the lock with the reference's weights,
and the file's initializers with the lock's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chunking.hashing import sha256_file
from export.errors import ExportError
from export.lock import lock_path, read_lock
from export.provenance import array_digest
from export.spec import ModelSpec
from export.weights import Weights

PROVEN = "proven"
UNPROVEN = "weights unproven"
REFUTED = "other weights"
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
    """

    proof: str
    reason: str
    file: dict[str, Any]
    variant: str
    opset: int | None = None
    origin: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """As the report has it."""
        return {
            "proof": self.proof,
            "proof_reason": self.reason,
            "file": self.file,
            "variant": self.variant,
            "opset": self.opset,
            "file_weights": self.origin,
        }


def identify(path: Path, spec: ModelSpec, weights: Weights) -> Identity:
    """Check an ONNX file against its lock and the reference's weights.

    Args:
        path: the ONNX file.
        spec: the network it should be.
        weights: what the reference network runs with.

    Raises:
        ExportError: the lock is unreadable, or the file is no ONNX file.
    """
    file = {"name": path.name, "size_bytes": path.stat().st_size, "sha256": sha256_file(path)}
    lock = read_lock(path)
    if lock is None:
        reason = f"{lock_path(path).name} is not there: nobody proved whose weights these are"
        return Identity(UNPROVEN, reason, file, "candidate")
    reason = _refutation(path, file, lock, spec, weights)
    return Identity(
        REFUTED if reason else PROVEN, reason, file, lock["variant"], lock["opset"], lock["weights"]
    )


def _refutation(
    path: Path, file: dict[str, Any], lock: dict[str, Any], spec: ModelSpec, weights: Weights
) -> str:
    """The first disagreement in words, or "" where all agree."""
    again = f"export it again: python -m export {spec.name}"
    if lock["model"] != spec.name or lock["network_version"] != spec.version:
        return (
            f"its lock is of {lock['model']} version {lock['network_version']}, not of "
            f"{spec.name} version {spec.version}; {again}"
        )
    if file["sha256"] != lock["file"]["sha256"]:
        names = _changed_initializers(path, lock)
        what = f"; initializers that differ: {names}" if names else "; no initializer differs"
        return f"the file is not the one that its lock describes{what}; {again}"
    if lock["weights"]["digest"] != weights.digest:
        return (
            f"it holds {lock['weights']['label']}, the reference runs with {weights.label}; {again}"
        )
    names = _changed_initializers(path, lock)
    return f"initializers that are not those of its lock: {names}; {again}" if names else ""


def _changed_initializers(path: Path, lock: dict[str, Any]) -> str:
    """Names whose content is not what the lock says, or that only one side has."""
    listed = {entry["name"]: entry["sha256"] for entry in lock["initializers"]}
    found = initializer_digests(path)
    names = [name for name in sorted(listed | found) if listed.get(name) != found.get(name)]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def initializer_digests(path: Path) -> dict[str, str]:
    """SHA-256 of every initializer of an ONNX file, by name.

    Raises:
        ExportError: it is no readable ONNX file, or keeps its weights elsewhere.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # no stubs

    try:
        proto = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise ExportError(
            f"{path}: not a readable ONNX file ({error})", hint="it may be truncated; export again"
        ) from error
    outside = [t.name for t in proto.graph.initializer if t.data_location == t.EXTERNAL]
    if outside:
        raise ExportError(
            f"{path}: keeps {len(outside)} tensors in other files, which no digest covers",
            hint="merge them into the file: onnx.save(onnx.load(FILE), FILE)",
        )
    return {
        tensor.name: array_digest(onnx.numpy_helper.to_array(tensor))
        for tensor in proto.graph.initializer
    }
