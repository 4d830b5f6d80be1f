"""Write a bundle: everything that a run without torch needs, in one file, the same bytes twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from trufor_onnx.errors import ExportError, ParityError, UserError
from trufor_onnx.export.lock import read_lock
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.networks.spec import TRACER, ModelSpec
from trufor_onnx.export.variants import DEFAULT_OPSET, DEFAULT_VARIANT, VARIANTS, file_stem
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.files import atomic_writer
from trufor_onnx.parity.inputs.cases import Case, make_feeds
from trufor_onnx.parity.inputs.feeds import find_feeds, smallest
from trufor_onnx.parity.inputs.image_sets import find_images
from trufor_onnx.parity.inputs.looks import telling
from trufor_onnx.parity.inputs.shapes import drawn_cases, from_weights, made_cases, shape_cases
from trufor_onnx.parity.references.keys import CASES, WEIGHTS, key_digest, network
from trufor_onnx.parity.references.networks import Network
from trufor_onnx.parity.references.proving import Rebuilder, builder, what
from trufor_onnx.parity.references.store import ReferenceCache, Tally
from trufor_onnx.parity.references.subject import make_network
from trufor_onnx.parity.references.supply import LiveSupply, feeds_of, trial_case
from trufor_onnx.parity.results.container import FLOAT64, TORCH32, StoredEntry, write_container
from trufor_onnx.parity.runners.base import Feeds

Say = Callable[[str], None]


@dataclass(frozen=True)
class BundlePlan:
    """What the user asked for.

    Attributes:
        models: names of networks.
        source: the choice of weights.
        images: the data set.
        out: the file to write.
        most_images: only the first so many.
        pixel_scale: what 8-bit values are divided by, where it is not the network's own.
        threads: threads of an operator; 0 leaves torch's choice.
        shapes: hold the shape matrix too, and the sizes that are drawn.
        seed: of those; None: one that follows from the weights.
        cache: where references are that were computed before, or None.
        folder: where exported files are; for each variant whose lock is there, and for the
            portable one, the bundle says what the file must be.
        feeds: inputs that are no pictures, in place of the data set; "": none.
    """

    models: tuple[str, ...]
    source: WeightsSource
    images: Path
    out: Path
    most_images: int | None = None
    pixel_scale: float | None = None
    threads: int = 0
    shapes: bool = True
    seed: int | None = None
    cache: ReferenceCache | None = None
    folder: Path = Path("onnx_models")
    feeds: str = ""


@dataclass(frozen=True)
class Written:
    """A finished bundle.

    Attributes:
        path: the file.
        sha256: the digest that reports name it by; it covers every byte.
        size_bytes: the file's size.
        tally: where its references came from.
        skipped: images that could not be used, with the reason of each.
    """

    path: Path
    sha256: str
    size_bytes: int
    tally: Tally
    skipped: tuple[str, ...]


def write_bundle(plan: BundlePlan, say: Say = lambda text: None) -> Written:  # noqa: ARG005
    """Compute what is missing and write the bundle, whole or not at all.

    An image that cannot be used is left out and named; the bundle holds the others.

    Raises:
        ParityError: no model, no image, or the file cannot be written.
        ExportError: the weights do not cover a network.
    """
    if not plan.models:
        raise ParityError("no model to compute references of", hint="name some with --models")
    writer = _Bundling(plan, say)
    try:
        plan.out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(plan.out) as stream:
            digest = write_container(stream, writer.entries())
        size = plan.out.stat().st_size
    except OSError as error:
        raise ParityError(
            f"{plan.out} cannot be written ({error.strerror or error})",
            hint="free some space, or name another file with --out",
        ) from error
    return Written(plan.out, digest, size, writer.tally, tuple(writer.skipped))


class _Bundling:
    """Gives a bundle's entries one after the other: one case's arrays are in memory at a time."""

    def __init__(self, plan: BundlePlan, say: Say) -> None:
        self.tally = Tally()
        self.skipped: list[str] = []
        self._plan = plan
        self._say = say
        self._written: set[str] = set()

    def entries(self) -> Iterator[StoredEntry]:
        plan = self._plan
        given = find_feeds(plan.feeds, most=plan.most_images, seed=plan.seed) if plan.feeds else []
        images = [] if given else find_images(plan.images, most=plan.most_images)
        for name in dict.fromkeys(plan.models):
            self._say(f"{name}: finding weights")
            subject = make_network(
                name, plan.source, pixel_scale=plan.pixel_scale, cache=plan.cache
            )
            spec = find(name)
            seed = from_weights(spec, subject.weights.digest) if plan.seed is None else plan.seed
            cases: list[Case] = [*given]
            if given:
                trial: Case = smallest(given)
            else:
                usable = telling(images, wanted=2, size=spec.fixed_size)
                shapes = shape_cases(spec, usable)
                trial = trial_case(shapes)
                held = {image.name: image for image in usable}
                cases += [Case(i.name, (held.get(i.name, i),)) for i in images]
                cases += [*shapes, *drawn_cases(spec, usable, seed)] if plan.shapes else []
                cases += made_cases(spec)
            supply = LiveSupply(subject, cache=plan.cache, threads=plan.threads)
            try:
                for member in (subject, subject.extractor):
                    if member is not None:
                        yield from self._once(_facts(member))
                yield from self._rebuilds(subject)
                self._say(f"{name}: proving the reference reproducible")
                feeds = supply.open(trial)
                yield from self._once(_proof(subject, supply, feeds))
                yield from self._once(_seed(subject, seed))
                for case in cases:
                    self._say(f"{name}: {case.name}")
                    yield from self._case(subject, supply, case)
            finally:
                supply.close()
                self.tally.add(supply.tally)

    def _rebuilds(self, subject: Network) -> Iterator[StoredEntry]:
        """What each exported file must be, for runs that cannot make one."""
        weights = subject.weights
        prover = Rebuilder(self._plan.cache)
        for spec, variant, opset in _variants(subject.spec, self._plan.folder):
            self._say(f"{spec.name}: making {variant} again")
            found = prover.rebuilt(spec, weights, variant=variant, opset=opset)
            if isinstance(found, str):
                self.skipped.append(f"{spec.name} as {variant}: {found}")
                continue
            key = {"what": what(spec, weights, variant, opset), "made_by": builder(spec)}
            yield from self._once(StoredEntry(key, found.document(), {}))

    def _case(self, subject: Network, supply: LiveSupply, case: Case) -> Iterator[StoredEntry]:
        try:
            loaded = case.load()
            pixels, feeds = loaded.pixels, feeds_of(loaded, subject, supply.outputs)
            wanted = [(FLOAT64, subject, feeds), (TORCH32, subject, feeds)]
            extractor = subject.extractor
            if extractor is not None:
                own = make_feeds(extractor.spec, pixels, extractor.preprocessing)
                wanted.insert(0, (FLOAT64, extractor, own))
            found = []
            for kind, member, inputs in wanted:
                key = supply.key(kind, member, pixels)
                if key_digest(key) not in self._written:
                    outputs = supply.outputs(kind, member, pixels, inputs)
                    found.append(StoredEntry(key, {}, outputs))
        except UserError as error:
            self.skipped.append(f"{case.name}: {error.problem}")
            return
        for entry in found:
            yield from self._once(entry)

    def _once(self, entry: StoredEntry) -> Iterator[StoredEntry]:
        """Two models share an extractor, two images may be equal: each entry stands once."""
        digest = key_digest(dict(entry.key))
        if digest not in self._written:
            self._written.add(digest)
            yield entry


def _variants(spec: ModelSpec, folder: Path) -> list[tuple[ModelSpec, str, int]]:
    """Exporters, variants and opsets whose locks are in a folder, and the portable file as usual.

    A lock that cannot be read is the run's to report.
    """
    found = {(spec.exporter, DEFAULT_VARIANT, DEFAULT_OPSET): None}
    for variant in VARIANTS:
        with suppress(ExportError):
            lock = read_lock(folder / f"{file_stem(spec, variant)}.onnx")
            if lock is not None and lock["variant"] == variant:
                found[lock.get("exporter", TRACER), variant, lock["opset"]] = None
    return [(replace(spec, exporter=by), variant, opset) for by, variant, opset in found]


def _facts(member: Network) -> StoredEntry:
    key = {"what": {"kind": WEIGHTS, "network": network(member.spec)}, "made_by": {}}
    document = {
        "facts": member.weights.facts(),
        "preprocessing": member.preprocessing.document(),
    }
    return StoredEntry(key, document, {})


def _seed(member: Network, seed: int) -> StoredEntry:
    """The run draws the sizes that the bundle holds."""
    key = {"what": {"kind": CASES, "network": network(member.spec)}, "made_by": {}}
    return StoredEntry(key, {"seed": seed}, {})


def _proof(subject: Network, supply: LiveSupply, feeds: Feeds) -> StoredEntry:
    key = {"what": subject.proof(), "made_by": supply.made_by()}
    return StoredEntry(key, supply.document(), feeds)
