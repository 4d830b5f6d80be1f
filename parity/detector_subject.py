"""The runtime as something to judge: two exported files, run as users run them.

The reference is the whole network, ``trufor``, in float64 on the pixels that the file decodes to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from chunking.folders import default_folder
from chunking.hashing import sha256_bytes
from export.build import export_model
from export.replacing import require_here
from export.sources import WeightsSource
from export.spec import ModelSpec
from export.trufor_specs import NOISEPRINT_PP, TRUFOR, TRUFOR_HEAD
from export.variants import DEFAULT_VARIANT, file_stem
from parity.errors import ParityError
from parity.identity import Identity, identify
from parity.proof import LEAST_FIRST, PROVEN
from parity.proving import BundledProofs, Prover, Rebuilder
from parity.references.bundle import Bundle
from parity.references.known_weights import KnownWeights, known_weights
from parity.references.networks import Network
from parity.references.store import ReferenceCache
from parity.results import RUNTIME
from runtime.errors import AnalysisError
from runtime.model_files import AUTO, PORTABLE, find_model

Say = Callable[[str], None]


def detector_spec() -> ModelSpec:
    """``trufor`` under the name that the runtime's rows have."""
    return replace(TRUFOR, name=RUNTIME, title="runtime/: from the file on disk to the answers")


def detector_network(
    source: WeightsSource, *, cache: ReferenceCache | None, bundle: Bundle | None
) -> Network:
    """The reference: the whole network, whose stored outputs are those of ``trufor``."""
    if bundle is not None:
        return bundle.network(TRUFOR, source, TRUFOR.preprocessing)
    return Network(TRUFOR, known_weights(TRUFOR, source, cache), TRUFOR.preprocessing)


def detector_files(
    source: WeightsSource,
    folder: Path,
    variants: Sequence[str],
    *,
    cache: ReferenceCache | None,
    bundle: Bundle | None,
    say: Say,
) -> list[tuple[Identity, tuple[str, ...]]]:
    """For each variant what is known of its files, and their digests in the order they run.

    A portable file that is not there is exported, where there is torch.

    Raises:
        ParityError: a file is not there, or the runtime would not take it.
    """
    specs = (NOISEPRINT_PP, TRUFOR_HEAD)
    weights = [_weights(spec, source, cache, bundle) for spec in specs]
    if DEFAULT_VARIANT in variants:
        for spec in specs:
            path = folder / f"{file_stem(spec, DEFAULT_VARIANT)}.onnx"
            if default_folder(path).is_dir():
                continue  # the runtime merges pieces itself
            require_here(path, ParityError)
            if not path.is_file() and bundle is None:
                say(f"{path} is not there: exporting it")
                export_model(spec, source, folder)
    found = []
    prover: Prover = BundledProofs(bundle) if bundle else Rebuilder(cache)
    for variant in dict.fromkeys(variants):
        say("deriving the files again")
        parts = []
        for spec, known in zip(specs, weights, strict=True):
            path = _file(folder, spec, variant)
            parts.append(identify(path, spec, known, prover=prover, unlocked=variant))
        found.append((_together(parts, variant), tuple(part.file["sha256"] for part in parts)))
    return found


def _weights(
    spec: ModelSpec, source: WeightsSource, cache: ReferenceCache | None, bundle: Bundle | None
) -> KnownWeights:
    if bundle is not None:
        return bundle.network(spec, source).weights
    return known_weights(spec, source, cache)


def _file(folder: Path, spec: ModelSpec, variant: str) -> Path:
    """The file that `runtime.Detector` takes: of Noiseprint++ any in float32 will do."""
    wanted = variant if spec is TRUFOR_HEAD or variant == PORTABLE else AUTO
    try:
        return find_model(folder, spec.name, wanted)[0].whole()
    except AnalysisError as error:
        raise ParityError(error.problem, hint=error.hint) from error


def _together(parts: Sequence[Identity], variant: str) -> Identity:
    """Both files as one: as proven as the less proven of them."""
    proofs = [part.proof for part in parts]
    proof = next(proof for proof in LEAST_FIRST if proof in proofs)
    how = "; ".join(dict.fromkeys(part.how for part in parts)) if proof == PROVEN else ""
    file = {
        "name": " + ".join(part.file["name"] for part in parts),
        "size_bytes": sum(part.file["size_bytes"] for part in parts),
        "sha256": sha256_bytes("".join(part.file["sha256"] for part in parts).encode()),
        "parts": [part.file for part in parts],
    }
    reason = "; ".join(f"{part.file['name']}: {part.reason}" for part in parts if part.reason)
    return Identity(
        proof, reason, file, variant, parts[-1].opset, parts[-1].origin, parts[-1].toolchain, how
    )
