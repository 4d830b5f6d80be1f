"""Who gives a case's reference outputs: torch with a cache (here), or a bundle (`bundle`)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from trufor_onnx.parity.inputs.cases import Array, Case, LoadedCase, Pixels, make_feeds
from trufor_onnx.parity.inputs.feeds import given_feeds
from trufor_onnx.parity.references.keys import Key, made_by, unkept
from trufor_onnx.parity.references.networks import Network
from trufor_onnx.parity.references.store import ReferenceCache, Tally
from trufor_onnx.parity.references.yardstick import choose_yardstick, machine, require_reproducible
from trufor_onnx.parity.results.container import FLOAT64, TORCH32
from trufor_onnx.parity.runners.base import Feeds, Outputs
from trufor_onnx.parity.runners.torch_runner import TorchRunner

LEAST_TRIAL = 64  # pixels a side
SAID = "torch float64, reproducible"
NOT_THROUGHOUT = "not float64 throughout"
NARROWER = "narrower"  # modules of the reference that compute in float32, a sentence each


@dataclass(frozen=True)
class Prepared:
    """A case with everything but the candidates' outputs.

    Attributes:
        feeds: what every backend gets.
        reference: what the float64 network gives.
        source: what PyTorch float32 gives.
    """

    feeds: Feeds
    reference: Outputs
    source: Outputs


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

    def prepare(self, loaded: LoadedCase) -> Prepared:
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


def feeds_of(loaded: LoadedCase, network: Network, outputs: OutputsOf) -> Feeds:
    """A case's inputs.

    A second input is the float64 output of the network's extractor on the same pixels.
    """
    if loaded.given is not None:
        return given_feeds(network.spec, loaded.given, network.preprocessing)
    extractor = network.extractor

    def noiseprint(pixels: Pixels) -> Array:
        """(B, 1, H, W) Noiseprint++ map, float64."""
        assert extractor is not None  # it is passed on only then
        feeds = make_feeds(extractor.spec, pixels, extractor.preprocessing)
        return outputs(FLOAT64, extractor, pixels, feeds)["noiseprint"]

    second = noiseprint if extractor else None
    return make_feeds(network.spec, loaded.pixels, network.preprocessing, second)


def prepare(loaded: LoadedCase, network: Network, outputs: OutputsOf) -> Prepared:
    """A case's inputs and reference outputs."""
    feeds = feeds_of(loaded, network, outputs)
    reference = outputs(FLOAT64, network, loaded.pixels, feeds)
    return Prepared(feeds, reference, outputs(TORCH32, network, loaded.pixels, feeds))


def trial_case(shapes: Sequence[Case]) -> Case:
    """The smallest of the shape matrix, but none so small that borders outweigh content."""

    def order(case: Case) -> tuple[bool, int]:
        height, width = case.size or (0, 0)
        return min(height, width) < LEAST_TRIAL, height * width * len(case.pictures)

    return min(shapes, key=order)


class LiveSupply:
    """One network's references.

    Args:
        network: the network.
        cache: where outputs are kept; None: nowhere.
        threads: threads of an operator; 0 leaves torch's choice.
    """

    def __init__(
        self, network: Network, *, cache: ReferenceCache | None = None, threads: int = 0
    ) -> None:
        self.tally = Tally()
        self._network = network
        self._cache = None if cache is None or unkept(*network.specs) else cache
        self._threads = threads
        self._machine = machine(threads=threads)
        self._stack = ExitStack()
        self._runners: dict[tuple[str, str], TorchRunner] = {}
        self._yardstick: dict[str, Any] = {}
        self._narrower: list[str] = []

    def open(self, trial: Case) -> Feeds:
        """Prove the reference reproducible and choose the yardstick, unless that was done.

        Returns:
            The inputs of the trial that proved it.

        Raises:
            ParityError: the reference is not reproducible.
            UserError: the trial cannot be read.
        """
        key = {"what": self._network.proof(), "made_by": self._made_by(self._network, TORCH32)}
        known = self._cache.find(key, self.tally) if self._cache else None
        if known is not None:
            self._yardstick = dict(known.document["torch32"])
            self._narrower = list(known.document.get(NARROWER, ()))
            return dict(known.arrays)
        network, threads = self._network, self._threads
        loaded = trial.load()
        feeds = feeds_of(loaded, network, self.outputs)
        outputs = self.outputs(FLOAT64, network, loaded.pixels, feeds, anew=True)
        weights = network.weights.load()
        spec = network.spec
        self._narrower = require_reproducible(spec, weights, feeds, outputs, threads=threads)
        chosen = choose_yardstick(network.spec, weights, feeds, outputs, threads=threads)
        self._runners[TORCH32, network.spec.name] = self._stack.enter_context(chosen.runner)
        self._yardstick = chosen.document() | {"processor": self._machine["processor"]}
        self._keep(key, document=self.document(), arrays=feeds)
        return feeds

    def document(self) -> dict[str, Any]:
        """What the report says of the reference and the yardstick."""
        if self._narrower:
            narrower = {"reference": f"{SAID}, {NOT_THROUGHOUT}", NARROWER: self._narrower}
            return {"torch32": self._yardstick} | narrower
        return {"reference": SAID, "torch32": self._yardstick}

    def made_by(self) -> dict[str, Any]:
        """What computes the float32 outputs here."""
        return self._made_by(self._network, TORCH32)

    def prepare(self, loaded: LoadedCase) -> Prepared:
        """A case's inputs and reference outputs.

        Raises:
            UserError: the network does not run on it.
        """
        return prepare(loaded, self._network, self.outputs)

    def outputs(
        self, kind: str, network: Network, pixels: Pixels, feeds: Feeds, *, anew: bool = False
    ) -> Outputs:
        """A network's outputs, from the cache or computed; ``anew``: computed in any case."""
        if self._cache is None:
            self.tally.computed += 1
            return self._runner(kind, network).run(feeds)
        key = self.key(kind, network, pixels)
        known = None if anew else self._cache.find(key, self.tally)
        if known is not None:
            self.tally.from_cache += 1
            return dict(known.arrays)
        outputs = self._runner(kind, network).run(feeds)
        self.tally.computed += 1
        self._keep(key, arrays=outputs)
        return outputs

    def _keep(self, key: Key, **given: Any) -> None:
        """Store an entry, unless building the networks told that their code is not all known."""
        if self._cache is not None and not unkept(*self._network.specs):
            self._cache.add(key, **given)

    def close(self) -> None:
        """Let the networks go; two in float64 need not fit in memory."""
        self._stack.close()
        self._runners.clear()
        for network in (self._network, self._network.extractor):
            if network is not None:
                network.weights.forget()

    def key(self, kind: str, network: Network, pixels: Pixels) -> Key:
        """Under what outputs are stored, the machine and kernel of float32 ones included."""
        return {"what": network.what(kind, pixels), "made_by": self._made_by(network, kind)}

    def _made_by(self, network: Network, kind: str) -> dict[str, Any]:
        """Float32 rounds by machine, threads and kernel; float64 is far from showing it."""
        if kind == FLOAT64:
            return made_by(network.spec)
        kernel = {"kernel": self._yardstick.get("convolution_kernel", "")}
        return made_by(network.spec, machine=self._machine) | kernel

    def _runner(self, kind: str, network: Network) -> TorchRunner:
        key = (kind, network.spec.name)
        if key not in self._runners:
            given: dict[str, Any] = {"precision": 64}
            if kind == TORCH32:
                given = {"precision": 32, "kernel": self._yardstick["convolution_kernel"]}
            runner = TorchRunner(
                network.spec, network.weights.load(), threads=self._threads, **given
            )
            self._runners[key] = self._stack.enter_context(runner)
        return self._runners[key]
