"""References from one file that `parity reference` wrote: everything a run needs, without torch.

What a bundle cannot give is an error that says so; nothing is computed in its place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trufor_onnx.documents import canonical
from trufor_onnx.errors import ParityError
from trufor_onnx.export.networks.spec import ModelSpec, Preprocessing
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.inputs.cases import Case, LoadedCase, Pixels
from trufor_onnx.parity.references.keys import CASES, WEIGHTS, network
from trufor_onnx.parity.references.networks import KnownWeights, Network, from_facts
from trufor_onnx.parity.references.store import Tally
from trufor_onnx.parity.references.supply import Prepared, prepare
from trufor_onnx.parity.references.yardstick import machine
from trufor_onnx.parity.results.container import Container, ContainerError, Item
from trufor_onnx.parity.runners.base import Feeds, Outputs


class Bundle:
    """An open bundle, from which networks and their references are taken.

    Args:
        path: the file.

    Raises:
        ContainerError: it is no bundle, cut off, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.container = Container(path)
        self.sha256 = self.container.sha256
        self._items = {canonical(item.key.get("what")): item for item in self.container.items}

    def find(self, what: dict[str, Any]) -> Item | None:
        """The entry of a thing, by whatever it was made."""
        return self._items.get(canonical(what))

    def network(
        self,
        spec: ModelSpec,
        source: WeightsSource | None,
        preprocessing: Preprocessing | None = None,
    ) -> Network:
        """A network with the weights that the bundle's references were made with.

        Args:
            spec: the network.
            source: the user's choice of weights, which must be these, where there was a choice.
            preprocessing: the run's, which must be the bundle's; the network's own where None.

        Raises:
            ParityError: the bundle has no references of this network, or of other weights or
                another preprocessing.
        """
        item = self.find({"kind": WEIGHTS, "network": network(spec)})
        remake = f"make it anew: python -m parity reference --models {spec.name} --out {self.path}"
        if item is None:
            raise ParityError(
                f"{self.path}: holds no references of {spec.name} version {spec.version}"
                f"{self._instead(spec)}",
                hint=remake,
            )
        try:
            weights = from_facts(item.document["facts"])
            made_with = item.document["preprocessing"]
            label, digest = weights.label, weights.digest
        except (KeyError, TypeError) as error:
            raise ContainerError(
                f"{self.path}: not what `parity reference` writes ({error})", hint=remake
            ) from error
        assert label and digest  # read here, so that a lack of them shows here
        chosen = preprocessing or spec.preprocessing
        if chosen.document() != made_with:
            raise ParityError(
                f"{self.path}: made with another preprocessing of {spec.name}: "
                f"{_difference(made_with, chosen.document())}",
                hint=f"give the same --pixel-scale, or {remake}",
            )
        if source is not None:
            self._require_chosen(spec, source, weights)
        return Network(spec, weights, chosen)

    def seed(self, spec: ModelSpec) -> int:
        """The seed with which the bundle's sizes of a network were drawn.

        Raises:
            ContainerError: it says none.
        """
        item = self.find({"kind": CASES, "network": network(spec)})
        seed = item.document.get("seed") if item else None
        if type(seed) is not int or seed < 0:
            raise ContainerError(
                f"{self.path}: says no seed of the sizes drawn for {spec.name}: an older bundle",
                hint=f"python -m parity reference --models {spec.name} --out {self.path}",
            )
        return seed

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def _instead(self, spec: ModelSpec) -> str:
        """What it holds of a network that is another one now: so that nobody takes it for lost."""
        for item in self.container.items:
            what = item.key.get("what")
            given = what.get("network") if isinstance(what, dict) else None
            if isinstance(given, dict) and given.get("model") == spec.name:
                if given.get("version") != spec.version:
                    return f": it was made with version {given.get('version')}"
                return (
                    f": it was made under this version with {given.get('builder')} and other "
                    "arguments; a network that changed needs a new version"
                )
        return ""

    def _require_chosen(
        self, spec: ModelSpec, source: WeightsSource, weights: KnownWeights
    ) -> None:
        """Weights named by the user must be the bundle's; without torch a file's digest tells."""
        if source.path is None and source.stand_in is None:
            return
        file, seed = source.choice_for(spec)
        given = {"file_sha256": file.sha256 if file else "", "seed": seed}
        origin = weights.origin
        # The seed of a checkpoint that lacked nothing was of no use, and is not recorded.
        same = given["file_sha256"] == origin.get("file_sha256")
        same = same and (file is None or file.inside in ("", origin.get("container")))
        if not same or (origin.get("seed") and origin["seed"] != seed):
            raise ParityError(
                f"{self.path}: its references of {spec.name} were made with {weights.label}, "
                "not with the weights that were chosen",
                hint="leave --weights and --stand-in out, or make a bundle with these weights: "
                "python -m parity reference --weights ... --out FILE",
            )


class BundleSupply:
    """One network's references out of a bundle.

    Args:
        bundle: the open bundle; it is not closed here.
        network: the network, as `Bundle.network` gave it.
        threads: of this run, to tell whether it is the setting that the bundle was made with.
    """

    def __init__(self, bundle: Bundle, network: Network, *, threads: int = 0) -> None:
        self.tally = Tally()
        self._bundle = bundle
        self._network = network
        self._here = machine(threads=threads)
        self._proof: Item | None = None

    def open(self, trial: Case) -> Feeds:  # noqa: ARG002 - the proof was made on a trial of its own
        """Find the proof of reproducibility and the yardstick that the bundle was made with.

        Raises:
            ParityError: there is none, or it is damaged.
        """
        self._proof = self._bundle.find(self._network.proof())
        if self._proof is None:
            raise ParityError(
                f"{self._bundle.path}: no proof that {self._network.spec.name} is reproducible",
                hint="make it anew: `python -m parity reference --out FILE`",
            )
        return self._bundle.container.read(self._proof)

    def document(self) -> dict[str, Any]:
        """What the report says of the reference and the yardstick: made by what, and where."""
        assert self._proof is not None  # `open` comes first
        made_by = dict(self._proof.key["made_by"])
        made_on = made_by.get("machine", {})
        return {
            **self._proof.document,
            "bundle": {
                "file": self._bundle.path.name,
                "sha256": self._bundle.sha256,
                "made_by": made_by,
                "same_machine": made_on == self._here,
            },
        }

    def prepare(self, loaded: LoadedCase) -> Prepared:
        """A case's inputs and reference outputs.

        Raises:
            UserError: the image is too small, or the bundle has no references of it.
        """
        return prepare(loaded, self._network, self._outputs)

    def close(self) -> None:
        """The bundle's owner closes it."""

    def _outputs(
        self,
        kind: str,
        network: Network,
        pixels: Pixels,
        feeds: Feeds,  # noqa: ARG002 - nothing is run
    ) -> Outputs:
        item = self._bundle.find(network.what(kind, pixels))
        if item is None:
            raise ParityError(
                f"not in the bundle {self._bundle.path.name}: no {kind} outputs of "
                f"{network.spec.name} on these pixels; make the bundle with this data set: "
                "python -m parity reference --images ...",
                hint="",
            )
        outputs = self._bundle.container.read(item)
        self.tally.from_bundle += 1
        return outputs


def _difference(ours: Any, theirs: dict[str, Any]) -> str:
    """Such as ``scale 255.0 instead of 256.0``."""
    if not isinstance(ours, dict):
        return "it says none"
    keys = [key for key in theirs if ours.get(key) != theirs[key]]
    return ", ".join(f"{key} {ours.get(key)} instead of {theirs[key]}" for key in keys)
