"""What is judged: a network, its weights, the file that claims to be it, and how images enter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trufor_onnx.chunking.folders import default_folder
from trufor_onnx.errors import AnalysisError, ExportError, ParityError
from trufor_onnx.export.build import export_model
from trufor_onnx.export.networks.registry import NOISEPRINT_PP, TRUFOR, TRUFOR_HEAD, find
from trufor_onnx.export.networks.spec import ModelSpec, Preprocessing
from trufor_onnx.export.replacing import require_here
from trufor_onnx.export.variants import DEFAULT_VARIANT, file_stem
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.weights.standin import DEFAULT_SEED
from trufor_onnx.export.weights.tensors import Weights
from trufor_onnx.files import sha256_bytes
from trufor_onnx.parity.references.bundle import Bundle
from trufor_onnx.parity.references.identity import CANDIDATE, Identity, identify
from trufor_onnx.parity.references.networks import KnownWeights, Network, known_weights
from trufor_onnx.parity.references.proving import BundledProofs, Prover, Rebuilder
from trufor_onnx.parity.references.store import ReferenceCache
from trufor_onnx.parity.results.rows import LEAST_FIRST, PROVEN, RUNTIME
from trufor_onnx.parity.results.tolerances import NUMBERED, plain_variant
from trufor_onnx.runtime.model_files import AUTO, PORTABLE, find_model

Say = Callable[[str], None]
Candidates = Mapping[str, Path | Sequence[Path]]  # files that the user named, by network


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


@dataclass(frozen=True)
class Candidate:
    """A file to judge.

    Attributes:
        path: the ONNX file; for the runtime the folder of its files.
        identity: what is known of its weights.
        detector: for the runtime the digests of its files, in the order they run.
    """

    path: Path
    identity: Identity
    detector: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """One network to judge, and the files that claim to be it.

    Attributes:
        network: the reference, with its weights and preprocessing.
        candidates: the files, each with its variant; at least one.
        judged_as: what rows call it, where that is not the network.
    """

    network: Network
    candidates: tuple[Candidate, ...]
    judged_as: ModelSpec | None = None

    @property
    def spec(self) -> ModelSpec:
        """The network without its weights."""
        return self.judged_as or self.network.spec

    @property
    def weights(self) -> Weights:
        """The reference's, with its tensors; loaded when they are asked for."""
        return self.network.weights.load()

    @property
    def noiseprint(self) -> Weights | None:
        """Those of the Noiseprint++ that makes the second input, or None; loaded likewise."""
        extractor = self.network.extractor
        return None if extractor is None else extractor.weights.load()

    @property
    def path(self) -> Path:
        """The first candidate's file."""
        return self.candidates[0].path

    @property
    def identity(self) -> Identity:
        """What is known of the first candidate's weights."""
        return self.candidates[0].identity

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become the first input."""
        return self.network.preprocessing

    def document(self) -> dict[str, Any]:
        """Provenance for the report; ``proof``, ``file`` and so on are the first candidate's."""
        given = {
            "network_version": self.spec.version,
            "reference_network": self.network.identity(),
            "weights": self.network.weights.document(),
            "preprocessing": self.preprocessing.document(),
            **self.candidates[0].identity.document(),
            "variants": {c.identity.variant: c.identity.document() for c in self.candidates},
        }
        extractor = self.network.extractor
        if extractor is not None:
            given["second_input"] = {
                "made_by": f"{extractor.spec.title}, in float64",
                "weights": extractor.weights.document(),
            }
        return given


def make_subject(
    name: str,
    source: WeightsSource,
    *,
    candidates: Candidates,
    folder: Path,
    variants: Sequence[str] = (DEFAULT_VARIANT,),
    pixel_scale: float | None = None,
    cache: ReferenceCache | None = None,
    bundle: Bundle | None = None,
    say: Say = lambda text: None,  # noqa: ARG005 - the default says nothing
) -> Subject:
    """Find a network's weights and the files to judge, and check that they belong together.

    A portable file that is not in ``folder`` yet is exported there; one that is there is judged as
    it is.

    Args:
        name: the network, or ``runtime``.
        source: the user's choice of weights.
        candidates: files that the user named, by network; such files are the only ones judged.
        folder: where exported files are.
        variants: which of the exported files.
        pixel_scale: what 8-bit values are divided by, where it is not the network's own.
        cache: may know the weights' digests already.
        bundle: knows them in place of checkpoint and torch.
        say: told what is being done.

    Raises:
        ParityError: a file is not there, is of another variant than its name says, or the bundle
            is of other weights or preprocessing.
        ExportError: the weights do not cover the network.
    """
    if not variants:
        raise ParityError("no variant to compare", hint=f"--variant {DEFAULT_VARIANT}")
    if name == RUNTIME:
        if name in candidates or pixel_scale is not None:
            raise ParityError(
                "the runtime is judged with its own files and scale",
                hint="leave out --candidate runtime=... and --pixel-scale; see --onnx-models",
            )
        say("finding weights")
        weights = _weights(TRUFOR, source, cache, bundle)
        network = Network(TRUFOR, weights, TRUFOR.preprocessing)
        files = detector_files(source, folder, variants, cache=cache, bundle=bundle, say=say)
        found = [Candidate(folder, identity, sha256) for identity, sha256 in files]
        title = "runtime/: from the file on disk to the answers"
        return Subject(network, tuple(found), replace(TRUFOR, name=RUNTIME, title=title))
    network = make_network(
        name, source, pixel_scale=pixel_scale, cache=cache, bundle=bundle, say=say
    )
    spec, weights = network.spec, network.weights
    prover: Prover = BundledProofs(bundle) if bundle else Rebuilder(cache)
    if name in candidates:
        return Subject(network, _named(name, candidates[name], network, prover, say))
    found = []
    for variant in dict.fromkeys(variants):
        path = folder / f"{file_stem(spec, variant)}.onnx"
        require_here(path, ParityError)  # merged or pulled, never made anew
        if not path.is_file():
            if variant != DEFAULT_VARIANT or bundle is not None:
                option = "" if variant == DEFAULT_VARIANT else f" --variant {variant}"
                raise ParityError(
                    f"no file {path}",
                    hint=f"python -m export {name}{option} --out {folder}",
                )
            say(f"{path} is not there: exporting it")
            for warning in export_model(spec, source, folder).warnings:
                say(f"warning: {warning}")
        say("deriving the file again")
        found.append(Candidate(path, _identify_variant(path, variant, spec, weights, prover)))
    return Subject(network, tuple(found))


def _named(
    name: str, given: Path | Sequence[Path], network: Network, prover: Prover, say: Say
) -> tuple[Candidate, ...]:
    """The files that the user named for a network, each under a variant of its own.

    Rows, groups and the gate's keys are told apart by variant: the second file that is called
    ``candidate`` (or what its lock says) becomes ``candidate #2``.
    """
    files = (given,) if isinstance(given, Path) else tuple(given)
    if not files:
        raise ParityError(f"no file for {name}", hint=f"--candidate {name}=FILE.onnx names one")
    found: list[Candidate] = []
    for path in files:
        require_here(path, ParityError)
        if not path.is_file():
            raise ParityError(f"no file {path}", hint=f"--candidate {name}=FILE.onnx names a file")
        say("deriving the file again")
        identity = identify(path, network.spec, network.weights, prover=prover)
        before = [plain_variant(other.identity.variant) for other in found]
        count = before.count(identity.variant)
        if count:
            identity = replace(identity, variant=f"{identity.variant}{NUMBERED}{count + 1}")
        found.append(Candidate(path, identity))
    return tuple(found)


def make_network(
    name: str,
    source: WeightsSource,
    *,
    pixel_scale: float | None = None,
    cache: ReferenceCache | None = None,
    bundle: Bundle | None = None,
    say: Say = lambda text: None,  # noqa: ARG005 - the default says nothing
) -> Network:
    """A network with the weights that the user chose; arguments as for `make_subject`."""
    spec = find(name)
    preprocessing = spec.preprocessing
    if pixel_scale is not None:
        if not (pixel_scale > 0.0 and math.isfinite(pixel_scale)):
            raise ParityError("--pixel-scale must be positive", hint="255 or 256")
        preprocessing = replace(preprocessing, scale=pixel_scale)
    say("finding weights")
    second = spec.second_input == "noiseprint"
    if bundle is not None:
        extractor = bundle.network(NOISEPRINT_PP, None) if second else None
        return replace(bundle.network(spec, source, preprocessing), extractor=extractor)
    return Network(
        spec,
        known_weights(spec, source, cache),
        preprocessing,
        _extractor(source, cache) if second else None,
    )


def _extractor(source: WeightsSource, cache: ReferenceCache | None) -> Network:
    """Noiseprint++ with weights from the same source, or stand-in ones where it has none.

    These make an input, the same for reference and candidate; the report says which they are.
    """
    spec = NOISEPRINT_PP
    try:
        weights = known_weights(spec, source, cache)
    except ExportError:
        seed = source.stand_in or DEFAULT_SEED
        weights = known_weights(spec, WeightsSource(stand_in=seed), cache)
    return Network(spec, weights, spec.preprocessing)


def _identify_variant(
    path: Path, variant: str, spec: ModelSpec, weights: KnownWeights, prover: Prover
) -> Identity:
    """The identity of a file whose name says a variant: its lock must say the same."""
    unlocked = CANDIDATE if variant == DEFAULT_VARIANT else variant
    identity = identify(path, spec, weights, prover=prover, unlocked=unlocked)
    if identity.variant not in (variant, unlocked):
        option = "" if variant == DEFAULT_VARIANT else f" --variant {variant}"
        raise ParityError(
            f"{path}: its name says {variant}, its lock {identity.variant}",
            hint=f"export it again: python -m export {spec.name}{option}",
        )
    return identity
