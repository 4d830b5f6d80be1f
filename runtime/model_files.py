"""Which exported file is a network's, of those in a folder: whole or in pieces, by variant."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trufor_onnx.chunking.folders import FOLDER_SUFFIX, LOCK_SUFFIX, MODEL_SUFFIX, open_folder
from trufor_onnx.chunking.merging import merge
from trufor_onnx.documents import parse_json
from trufor_onnx.errors import ModelError, UserError
from trufor_onnx.export.networks.spec import Preprocessing

ENVIRONMENT = "TRUFOR_CACHE"
APPLICATION = "trufor-onnx"
NOISEPRINT, HEAD = "noiseprint_pp", "trufor_head"
AUTO, PORTABLE, FUSED = "auto", "portable", "ort"
METADATA = "trufor_onnx."
UNKNOWN = "unknown weights"
LARGEST_LOCK = 16 << 20  # bytes


def cache_folder() -> Path:
    """``$TRUFOR_CACHE``, or the platform's folder for caches."""
    given = os.environ.get(ENVIRONMENT)
    if given:
        return Path(given)
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / APPLICATION
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / APPLICATION
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / APPLICATION


def merged_model(pieces: Path) -> Path:
    """The file that a folder of pieces holds, in the cache under its own digest.

    Every piece and the whole are checked while merging; a file that is in the cache already is
    read and checked too, and merged anew where it is not right.

    Args:
        pieces: a ``NAME.chunks`` folder.

    Raises:
        ModelError: a piece is missing or damaged (all faults are named), there is no manifest, or
            the cache cannot be written.
    """
    cache = cache_folder()
    try:
        expected = open_folder(pieces).manifest.file
        folder = cache / "merged" / expected.sha256
        folder.mkdir(parents=True, exist_ok=True)
        return merge(pieces, folder / expected.name, force=True).file
    except UserError as error:
        raise ModelError(
            f"{pieces} cannot be used: {error.problem}",
            hint=error.hint or "get the folder again; `python -m chunking verify` says what is bad",
        ) from error
    except OSError as error:
        raise ModelError(
            f"{error.filename or cache}: the cache cannot be written ({error.strerror})",
            hint=f"choose another folder: {ENVIRONMENT}=FOLDER",
        ) from error


@dataclass(frozen=True)
class ModelFile:
    """A network's file.

    Attributes:
        network: ``noiseprint_pp`` or ``trufor_head``.
        variant: ``portable``, ``ort``, ...
        path: the file, or the folder of pieces.
    """

    network: str
    variant: str
    path: Path

    @property
    def in_pieces(self) -> bool:
        """Whether it has to be merged first."""
        return self.path.suffix == FOLDER_SUFFIX

    def whole(self) -> Path:
        """The ONNX file; pieces are merged into the cache.

        Raises:
            ModelError: the pieces are damaged.
        """
        return merged_model(self.path) if self.in_pieces else self.path

    def lock(self) -> Path | None:
        """The lock beside the file or the folder of pieces, or None where there is none."""
        name = _stem(self.network, self.variant) + LOCK_SUFFIX
        path = self.path.with_name(name)
        return path if path.is_file() else None


def find_model(folder: Path, network: str, variant: str = AUTO) -> list[ModelFile]:
    """The files of a network, the one to try first in front.

    Args:
        folder: where exported files, or folders of pieces, are.
        network: its name.
        variant: ``auto`` for the variant with ONNX Runtime's own operators and the portable one
            after it; or the one variant that will do.

    Raises:
        ModelError: there is none.
    """
    if not folder.is_dir():
        raise ModelError(
            f"no folder of models at {folder}", hint="make it: python -m export trufor_head"
        )
    variants = (FUSED, PORTABLE) if variant == AUTO else (variant,)
    found = []
    for name in variants:
        for suffix in (MODEL_SUFFIX, FOLDER_SUFFIX):
            path = folder / (_stem(network, name) + suffix)
            if path.is_dir() if suffix == FOLDER_SUFFIX else path.is_file():
                found.append(ModelFile(network, name, path))
                break
    if not found:
        which = network if variant == AUTO else f"{network} of variant {variant}"
        raise ModelError(
            f"{folder} holds no {which}, neither as *.onnx nor in pieces (*.chunks)",
            hint=f"export it: python -m export {NOISEPRINT} {HEAD}",
        )
    return found


def _stem(network: str, variant: str) -> str:
    return network if variant == PORTABLE else f"{network}.{variant}"


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
            expected = parse_json(stream.read(LARGEST_LOCK))["file"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
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
        document = parse_json(text) if text else {}
    except ValueError as error:
        raise ModelError(f"{path}: damaged metadata ({error})", hint="export it again") from error
    if not isinstance(document, dict):
        raise ModelError(f"{path}: damaged metadata", hint="export it again")
    return document
