"""Who gives a case's reference outputs: torch with a cache (`live`), or a bundle (`bundle`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from parity.cases import Case, Pixels
from parity.feeds import Array, make_feeds
from parity.references.keys import FLOAT64
from parity.references.networks import Network
from parity.references.store import Tally
from parity.runners.base import Feeds, Outputs


@dataclass(frozen=True)
class Prepared:
    """A case with everything but the candidates' outputs.

    Attributes:
        feeds: what every backend gets.
        image_sha256: the digest of the first image's file.
        reference: what the float64 network gives.
        source: what PyTorch float32 gives.
        pixels_sha256: the digest of the decoded pixels.
    """

    feeds: Feeds
    image_sha256: str
    reference: Outputs
    source: Outputs
    pixels_sha256: str = ""


class Supply(Protocol):
    """Gives references.

    Attributes:
        tally: where they came from so far.
    """

    tally: Tally

    def open(self, trial: Case) -> Feeds:
        """Prove the reference reproducible and choose the yardstick, or find that it was done.

        Returns:
            The inputs of the trial that proved it.
        """
        ...

    def document(self) -> dict[str, Any]:
        """What the report says of the reference and the yardstick."""
        ...

    def prepare(self, case: Case) -> Prepared:
        """A case's inputs and reference outputs."""
        ...

    def close(self) -> None:
        """Let go of networks and files."""
        ...


class OutputsOf(Protocol):
    """Gives a network's outputs on pixels; ``feeds`` are those of the pixels."""

    def __call__(self, kind: str, network: Network, pixels: Pixels, feeds: Feeds) -> Outputs:
        """The outputs by name; ``kind`` is ``float64`` or ``torch32``."""
        ...


def load_feeds(case: Case, network: Network, outputs: OutputsOf) -> tuple[Pixels, Feeds, str]:
    """A case's pixels, its inputs, and the digest of its first file.

    A second input is the float64 output of the network's extractor on the same pixels.
    """
    pixels, sha256 = case.load()
    extractor = network.extractor

    def noiseprint(pixels: Pixels) -> Array:
        """(B, 1, H, W) Noiseprint++ map, float64."""
        assert extractor is not None  # it is passed on only then
        feeds = make_feeds(extractor.spec, pixels, extractor.preprocessing)
        return outputs(FLOAT64, extractor, pixels, feeds)["noiseprint"]

    second = noiseprint if extractor else None
    return pixels, make_feeds(network.spec, pixels, network.preprocessing, second), sha256
