"""What must be known of a network's weights to judge a file, without loading the tensors.

Digests and names come from the cache or a bundle where they are there; the tensors themselves are
loaded, by torch, only when a reference must be computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trufor_onnx.errors import ParityError
from trufor_onnx.export.networks.spec import ModelSpec, Preprocessing
from trufor_onnx.export.weights.download import publication_of
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.weights.tensors import Weights
from trufor_onnx.parity.inputs.cases import Pixels, pixels_digest
from trufor_onnx.parity.references.keys import (
    PROOF,
    WEIGHTS,
    Key,
    made_by,
    network,
    unkept,
    watched,
)
from trufor_onnx.parity.references.store import ReferenceCache, Tally

PUBLISHED = "published"  # of the origin: who published the checkpoint
HINT = "begin the run anew: a file that changes while it is read proves nothing"


class Loader:
    """Loads a network's tensors at most once, and lets them go on request.

    Args:
        spec: the network.
        source: the user's choice of weights.
    """

    def __init__(self, spec: ModelSpec, source: WeightsSource) -> None:
        self._spec = spec
        self._source = source
        self._weights: Weights | None = None

    def load(self) -> Weights:
        """The tensors. Raises as `WeightsSource.weights_for` does."""
        if self._weights is None:
            with watched(self._spec):
                module = self._spec.build()
            self._weights = self._source.weights_for(self._spec, module)
        return self._weights

    def forget(self) -> None:
        """Let the tensors go."""
        self._weights = None


@dataclass(frozen=True)
class KnownWeights:
    """A network's weights by their digests.

    Attributes:
        digests: SHA-256 of every tensor, by the network's own names.
        sources: what tensors are called in the checkpoint, by the network's own names.
        origin: the document that reports and lock files have of them; reports also have who
            published the checkpoint, where that is known.
        loader: gives the tensors; None where there are none to load (a bundle).
    """

    digests: Mapping[str, str]
    sources: Mapping[str, str]
    origin: Mapping[str, Any]
    loader: Loader | None = field(default=None, compare=False, repr=False)

    @property
    def label(self) -> str:
        """What every table and report calls them."""
        return str(self.origin["label"])

    @property
    def digest(self) -> str:
        """SHA-256 over all tensors."""
        return str(self.origin["digest"])

    def document(self) -> dict[str, Any]:
        """The origin as reports have it."""
        return dict(self.origin)

    def facts(self) -> dict[str, Any]:
        """As a cache or a bundle stores them."""
        return {
            "digests": dict(self.digests),
            "sources": dict(self.sources),
            "origin": dict(self.origin),
        }

    def load(self) -> Weights:
        """The tensors.

        Raises:
            ParityError: there are none to load, or they are not those that were digested.
            ExportError: the checkpoint cannot be read.
        """
        if self.loader is None:
            raise ParityError(
                f"{self.label}: a bundle holds no tensors", hint="leave --reference out"
            )
        weights = self.loader.load()
        if weights.digest != self.digest:
            raise ParityError(f"{self.label}: they changed since they were digested", hint=HINT)
        return weights

    def forget(self) -> None:
        """Let the tensors go, where they were loaded."""
        if self.loader is not None:
            self.loader.forget()


def known_weights(
    spec: ModelSpec, source: WeightsSource, cache: ReferenceCache | None
) -> KnownWeights:
    """A network's weights by the user's choice, from the cache where it knows the file.

    Raises:
        ExportError: the file is missing, unreadable, or does not cover the network.
    """
    loader = Loader(spec, source)
    if cache is None or unkept(spec):
        cache = None
    key = _key(spec, source)
    entry = cache.find(key, Tally()) if cache else None
    if entry is not None:
        return _with_publication(from_facts(entry.document, loader), spec, source)
    weights = loader.load()
    found = KnownWeights(weights.digests, weights.sources, weights.document(), loader)
    if cache and not unkept(spec):  # building it may have told more
        cache.add(key, document=found.facts())
    return _with_publication(found, spec, source)


def _with_publication(
    weights: KnownWeights, spec: ModelSpec, source: WeightsSource
) -> KnownWeights:
    """Whose they are, where the checkpoint's digest is known: nothing else says so."""
    file, _ = source.choice_for(spec)
    whole = weights.origin["kind"] == "checkpoint"
    known = (
        publication_of(file.path if file else None, weights.origin["file_sha256"])
        if whole
        else None
    )
    if known is None:
        return weights
    return replace(weights, origin={**weights.origin, PUBLISHED: known})


def from_facts(facts: Mapping[str, Any], loader: Loader | None = None) -> KnownWeights:
    """Weights as `KnownWeights.facts` stored them.

    Raises:
        KeyError: they are none.
    """
    return KnownWeights(facts["digests"], facts["sources"], facts["origin"], loader)


def _key(spec: ModelSpec, source: WeightsSource) -> Key:
    file, seed = source.choice_for(spec)
    what: dict[str, Any] = {"kind": WEIGHTS, "network": network(spec), "seed": seed}
    if file is not None:
        what |= {"file": file.path.name, "file_sha256": file.sha256}
        what |= {"inside": file.inside} if file.inside else {}
    return {"what": what, "made_by": made_by(spec)}


@dataclass(frozen=True)
class Network:
    """A network with its weights.

    Attributes:
        spec: the network.
        weights: the reference's.
        preprocessing: how images become the first input.
        extractor: the network whose float64 output is the second input, or None.
    """

    spec: ModelSpec
    weights: KnownWeights
    preprocessing: Preprocessing
    extractor: Network | None = None

    @property
    def specs(self) -> tuple[ModelSpec, ...]:
        """This network's, and the extractor's."""
        return (self.spec, *(self.extractor.specs if self.extractor else ()))

    def identity(self) -> dict[str, Any]:
        """By what reports and bundles of several releases know it as the same."""
        extractor = self.extractor
        return {
            "model": self.spec.name,
            "version": self.spec.version,
            "weights": self.weights.digest,
            "second_input": None if extractor is None else extractor.weights.digest,
        }

    def what(self, kind: str, pixels: Pixels) -> dict[str, Any]:
        """Under what its outputs on a batch are stored (`parity.references.keys`).

        Args:
            kind: ``float64`` or ``torch32``.
            pixels: (B, H, W, 3) uint8: the decoded images, cropped, mirrored and stacked as they
                are run, so that their digest covers image files, case and decoder.
        """
        shape = list(pixels.shape)
        return self._stored_as(kind) | {"pixels": {"sha256": pixels_digest(pixels), "shape": shape}}

    def proof(self) -> dict[str, Any]:
        """Under what the proof of its reproducibility is stored, and the choice of yardstick."""
        return self._stored_as(PROOF)

    def _stored_as(self, kind: str) -> dict[str, Any]:
        second = self.extractor.computes() if self.extractor else None
        return {"kind": kind, **self.computes(), "second_input": second}

    def computes(self) -> dict[str, Any]:
        """What decides its outputs, without the second input."""
        return {
            "network": network(self.spec),
            "weights": self.weights.digest,
            "preprocessing": self.preprocessing.document(),
        }
