"""What is known of a model file: its digest, and whose weights are in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export.spec import Preprocessing
from runtime.errors import ModelError
from runtime.model_files import ModelFile

METADATA = "trufor_onnx."
UNKNOWN = "unknown weights"
LARGEST_LOCK = 16 << 20  # bytes


@dataclass(frozen=True)
class ModelInfo:
    """One network's file, as it was used.

    Attributes:
        network: ``noiseprint_pp`` or ``trufor_head``.
        variant: ``portable``, ``ort``, ...
        file: its name.
        sha256: the digest of its bytes.
        weights: whose weights, in words; ``unknown weights`` where the file does not say.
        weights_digest: the digest of the checkpoint's tensors ("" where unknown).
        stand_in: whether any of its weights are drawn from a seed instead of trained, or unknown.
        least_size: the least height and width, in pixels.
        locked: whether a lock beside it confirmed its digest.
    """

    network: str
    variant: str
    file: str
    sha256: str
    weights: str
    weights_digest: str
    stand_in: bool
    least_size: int
    locked: bool


@dataclass(frozen=True)
class Provenance:
    """All that decides an analysis beside the image.

    Attributes:
        models: the networks' files, in the order in which they run.
        provider: where they really run, ``cpu``, ``cuda``, ...
        onnxruntime: its version.
    """

    models: tuple[ModelInfo, ...]
    provider: str
    onnxruntime: str

    @property
    def weights(self) -> str:
        """Whose weights, in words; all that take part where the networks differ."""
        return ", ".join(dict.fromkeys(model.weights for model in self.models))

    @property
    def warning(self) -> str:
        """What must be said beside every result, or ""."""
        if any(model.weights == UNKNOWN for model in self.models):
            return "UNKNOWN WEIGHTS: nothing says where this model's weights come from"
        if any(model.stand_in for model in self.models):
            return "STAND-IN WEIGHTS: not trained; map, reliability and score mean nothing"
        return ""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            **asdict(self),
            "models": [asdict(model) for model in self.models],
            "weights": self.weights,
            "warning": self.warning,
        }


def model_info(file: ModelFile, path: Path, digest: str, metadata: Mapping[str, str]) -> ModelInfo:
    """Read what the file says of itself, and check it against its lock.

    Args:
        file: which file it is.
        path: the ONNX file (the merged one where the model is in pieces).
        digest: the SHA-256 of the ONNX file.
        metadata: the metadata of the ONNX file.

    Raises:
        ModelError: the file is not the one that its lock describes, is another network's, or takes
            images under another contract.
    """
    locked = _require_locked(file, digest)
    name = metadata.get(METADATA + "model", file.network)
    if name != file.network:
        raise ModelError(f"{path} holds {name}, not {file.network}", hint="rename it")
    contract = _parsed(metadata.get(METADATA + "preprocessing"), path)
    if contract and contract != Preprocessing().document():
        raise ModelError(
            f"{path} takes images under another contract: {contract}",
            hint=f"export it again: python -m export {file.network}",
        )
    origin = _parsed(metadata.get(METADATA + "provenance"), path)
    weights = origin.get("weights", {})
    label = metadata.get(METADATA + "weights", UNKNOWN)
    return ModelInfo(
        network=file.network,
        variant=metadata.get(METADATA + "variant", file.variant),
        file=path.name,
        sha256=digest,
        weights=label,
        weights_digest=metadata.get(METADATA + "weights_digest", ""),
        stand_in=bool(weights.get("stand_in")) or "stand-in" in label or label == UNKNOWN,
        least_size=int(origin.get("least_size", 1)),
        locked=locked,
    )


def _require_locked(file: ModelFile, digest: str) -> bool:
    """Whether there is a lock; where there is one, it must agree."""
    path = file.lock()
    if path is None:
        return False
    hint = f"export it again: python -m export {file.network}"
    try:
        with path.open("rb") as stream:
            expected = json.loads(stream.read(LARGEST_LOCK))["file"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: not a lock file ({error})", hint=hint) from error
    if expected != digest:
        raise ModelError(
            f"{file.path} is not the file that {path.name} describes (SHA-256 {digest[:16]}, "
            f"expected {str(expected)[:16]})",
            hint=hint,
        )
    return True


def _parsed(text: str | None, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: damaged metadata ({error})", hint="export it again") from error
    if not isinstance(document, dict):
        raise ModelError(f"{path}: damaged metadata", hint="export it again")
    return document
