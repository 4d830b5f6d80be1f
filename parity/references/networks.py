"""A network with its weights, as references are stored for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from export.spec import ModelSpec, Preprocessing
from parity.cases import Pixels
from parity.references.keys import PROOF, network, output_key
from parity.references.known_weights import KnownWeights


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
        """Under what its outputs on a batch are stored (`parity.references.keys`)."""
        return output_key(
            kind, self.spec, self.weights.digest, self.preprocessing, pixels, second=self._second()
        )

    def proof(self) -> dict[str, Any]:
        """Under what the proof of its reproducibility is stored, and the choice of yardstick."""
        return {
            "kind": PROOF,
            "network": network(self.spec),
            "weights": self.weights.digest,
            "preprocessing": self.preprocessing.document(),
            "second_input": self._second(),
        }

    def _second(self) -> dict[str, Any] | None:
        if self.extractor is None:
            return None
        return {
            "network": network(self.extractor.spec),
            "weights": self.extractor.weights.digest,
            "preprocessing": self.extractor.preprocessing.document(),
        }
