"""One parity run: every network, every image, every backend, every output."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trufor_onnx.errors import ParityError, UserError
from trufor_onnx.export.variants import DEFAULT_VARIANT
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.inputs.cases import Case, HeldImage
from trufor_onnx.parity.inputs.feeds import find_feeds, smallest
from trufor_onnx.parity.inputs.image_sets import describe, find_images
from trufor_onnx.parity.inputs.looks import Looks, document, telling
from trufor_onnx.parity.inputs.shapes import (
    BUNDLE,
    OPTION,
    Seed,
    drawn_cases,
    from_files,
    made_cases,
    shape_cases,
)
from trufor_onnx.parity.references.bundle import Bundle, BundleSupply
from trufor_onnx.parity.references.store import ReferenceCache
from trufor_onnx.parity.references.subject import Candidates, Subject, make_subject
from trufor_onnx.parity.references.supply import LiveSupply, Supply, trial_case
from trufor_onnx.parity.results.environment import environment
from trufor_onnx.parity.results.limits import settle
from trufor_onnx.parity.results.rows import RUNTIME, Report, Row
from trufor_onnx.parity.results.summary import IMAGES, SHAPES, summarise, witnesses
from trufor_onnx.parity.results.tolerances import OwnTolerances, tolerances_digest, using
from trufor_onnx.parity.results.witness import KEY
from trufor_onnx.parity.running.gallery import Gallery
from trufor_onnx.parity.running.journal import Journal, case_key, model_fingerprint
from trufor_onnx.parity.running.side_by_side import Bench
from trufor_onnx.providers import Provider


@dataclass(frozen=True)
class RunPlan:
    """What the user asked for.

    Attributes:
        models: names of networks.
        source: the choice of weights.
        images: the data set: a folder, a manifest, a pattern or an image.
        providers: where ONNX Runtime is to run.
        most_images: only the first so many.
        candidates: files to judge in place of exported ones, by network: one or several.
        folder: where exported files are.
        pixel_scale: what 8-bit values are divided by, where it is not the network's own.
        threads: threads of an operator; 0 leaves the backend's choice.
        shapes: run the shape matrix too, and sizes that are drawn.
        seed: of those; None: one that follows from the files, or the bundle's.
        variants: which exported files of each network.
        cache: where references that were computed before are, and new ones go; None: nowhere.
        bundle: a file of references to use in place of torch, or None.
        tolerances: a user's own, which stand before those of ``tolerances.toml``, or None.
        feeds: inputs that are no pictures, in place of the data set: `find_feeds`; "": none.
    """

    models: tuple[str, ...]
    source: WeightsSource
    images: Path
    providers: tuple[Provider, ...]
    most_images: int | None = None
    candidates: Candidates = field(default_factory=dict)
    folder: Path = Path("onnx_models")
    pixel_scale: float | None = None
    threads: int = 0
    shapes: bool = True
    seed: int | None = None
    variants: tuple[str, ...] = (DEFAULT_VARIANT,)
    cache: ReferenceCache | None = None
    bundle: Path | None = None
    tolerances: OwnTolerances | None = None
    feeds: str = ""


class RunListener:
    """Told how a run goes on; this one says nothing."""

    def model(self, name: str, cases: int) -> None:
        """A network's turn begins, with so many cases."""

    def say(self, text: str) -> None:
        """Something that takes a while is being done."""

    def rows(self, rows: list[Row]) -> None:
        """One case is done."""


def run_parity(
    plan: RunPlan, listener: RunListener | None = None, journal: Journal | None = None
) -> Report:
    """Compare ONNX Runtime with PyTorch on every image.

    Args:
        plan: what the user asked for.
        listener: told how the run goes on.
        journal: keeps finished cases; those that it has from an interrupted run are not repeated.

    Raises:
        ParityError: nothing could be compared: no image, no model, a provider that is absent.
        ExportError: the weights do not cover a network, or a file is no whole ONNX file.
    """
    _require_models(plan)
    with ExitStack() as stack:
        stack.enter_context(using(plan.tolerances))
        bundle = stack.enter_context(closing(Bundle(plan.bundle))) if plan.bundle else None
        return _run(plan, listener or RunListener(), journal, bundle)


def _run(
    plan: RunPlan, listener: RunListener, journal: Journal | None, bundle: Bundle | None
) -> Report:
    given = find_feeds(plan.feeds, most=plan.most_images, seed=plan.seed) if plan.feeds else []
    files = [] if given else find_images(plan.images, most=plan.most_images)
    held: dict[str, HeldImage] = {}
    rows: list[Row] = []
    shape_rows: list[Row] = []
    documents: dict[str, Any] = {}
    gallery = Gallery()
    for name in dict.fromkeys(plan.models):
        listener.say(name)
        subject = make_subject(
            name,
            plan.source,
            candidates=plan.candidates,
            folder=plan.folder,
            variants=plan.variants,
            pixel_scale=plan.pixel_scale,
            cache=plan.cache,
            bundle=bundle,
            say=listener.say,
        )
        fixed = subject.spec.fixed_size
        looks = Looks(fixed)
        singles: list[Case] = [*given]
        others: list[Case] = []
        seed = None
        if given:  # sizes and batches are what they are, and no picture is made for them
            trial: Case = smallest(given)
        else:
            usable = telling([held.get(f.name, f) for f in files], wanted=2, size=fixed)
            # Shapes are cut from these: they stay in memory, and no other picture does.
            held = {image.name: image for image in usable}
            shapes = shape_cases(subject.spec, usable)
            seed = _seed(plan, subject, bundle) if plan.shapes and not fixed else None
            singles = [Case(f.name, (held.get(f.name, f),)) for f in files]
            others = _others(plan, subject, shapes, usable, seed)
            trial = trial_case(shapes)
        turns = ((rows, singles), (shape_rows, others))
        listener.model(name, sum(len(cases) for _, cases in turns))
        listener.say(f"{name}: proving the reference reproducible")
        with Bench(
            subject,
            plan.providers,
            trial,
            threads=plan.threads,
            supply=_supply(plan, subject, bundle),
            observer=gallery.see,
        ) as bench:
            documents[name] = subject.document() | bench.document()
            fingerprint = model_fingerprint(
                documents[name],
                plan.providers,
                specs=() if bundle else subject.network.specs,
                threads=plan.threads,
            )
            # Follows from what the fingerprint covers, but for the shares of time.
            documents[name]["placement"] = bench.placement()
            documents[name]["seed"] = seed.document() if seed else None
            measured: list[list[Row]] = []
            for _, cases in turns:
                measured.append([])
                seen = looks if cases is singles else None
                for case in cases:
                    found = _measured(bench, case, fingerprint, journal, gallery, seen)
                    measured[-1].extend(found)
                    listener.rows(found)
            documents[name]["data_set"] = document(looks.found)
            alone = [list(part) for part in measured]
            settle(alone)
            documents[name][KEY] = witnesses(bench, alone, singles, others)
            settle(measured, documents[name])
            for (target, _), mine in zip(turns, measured, strict=True):
                target.extend(mine)
            documents[name]["references"] = bench.references()
    return Report(
        environment=environment(
            threads=plan.threads,
            settings={
                "providers": {p.name: dict(p.options) for p in plan.providers},
                "data_set": {"feeds": len(given)} if given else describe(files),
                **({"feeds": Path(plan.feeds).name} if given else {}),
                "shapes": plan.shapes,
                "tolerances_sha256": tolerances_digest(),
                **({"own_tolerances": plan.tolerances.document()} if plan.tolerances else {}),
            },
        ),
        models=documents,
        rows=tuple(rows),
        shape_rows=tuple(shape_rows),
        groups=(
            *summarise(rows, IMAGES, documents),
            *summarise(shape_rows, SHAPES, documents),
        ),
        resumed_cases=journal.resumed if journal else 0,
        pictures=gallery.pictures(),
    )


def _supply(plan: RunPlan, subject: Subject, bundle: Bundle | None) -> Supply:
    """Where the references of one network come from."""
    if bundle is not None:
        return BundleSupply(bundle, subject.network, threads=plan.threads)
    return LiveSupply(subject.network, cache=plan.cache, threads=plan.threads)


def _seed(plan: RunPlan, subject: Subject, bundle: Bundle | None) -> Seed:
    """The seed of the sizes that are drawn for one network.

    Raises:
        ParityError: the bundle was made with another one than the user's.
    """
    if bundle is None:
        if plan.seed is not None:
            return Seed(plan.seed, OPTION)
        files = [candidate.identity.file["sha256"] for candidate in subject.candidates]
        return from_files(subject.network.spec, files)
    held = bundle.seed(subject.network.spec)
    if plan.seed not in (None, held):
        raise ParityError(
            f"{bundle.path}: its sizes of {subject.network.spec.name} were drawn with seed {held}, "
            f"not {plan.seed}",
            hint="leave --seed out, or make a bundle with it: "
            f"python -m parity reference --seed {plan.seed} --out FILE",
        )
    return Seed(held, BUNDLE)


def _others(
    plan: RunPlan, subject: Subject, shapes: list[Case], usable: list[HeldImage], seed: Seed | None
) -> list[Case]:
    """What is run beside the images; made pictures always are."""
    # The runtime's reference is the network that it runs, under whose name a bundle drew sizes.
    drawn = drawn_cases(subject.network.spec, usable, seed.value) if seed else []
    return [*(shapes if plan.shapes else ()), *drawn, *made_cases(subject.spec)]


def _require_models(plan: RunPlan) -> None:
    if not plan.models:
        raise ParityError("no model to compare", hint="name some with --models")
    if plan.feeds and RUNTIME in plan.models:
        raise ParityError("the runtime takes pictures", hint="--images in place of --feeds")
    unknown = [name for name in plan.candidates if name not in plan.models]
    if unknown:
        raise ParityError(
            f"--candidate names {', '.join(unknown)}, which --models does not",
            hint=f"add it: --models {' '.join([*plan.models, *unknown])}",
        )


def _measured(
    bench: Bench,
    case: Case,
    fingerprint: str,
    journal: Journal | None,
    gallery: Gallery,
    looks: Looks | None,
) -> list[Row]:
    """A case's rows, from the journal where it has them; its pictures go to the gallery.

    The case is read here, once, and lets its pixels go before the next one.
    """
    try:
        loaded = case.load()
    except UserError as error:
        return [bench.unusable(case, error)]
    if looks is not None:
        if loaded.given is None:
            looks.add(case.name, loaded.pixels[0], loaded.sha256)
        else:
            looks.add_given(case.name, loaded)
    if journal is None:
        return list(bench.rows(loaded))
    key = case_key(fingerprint, loaded)
    found = journal.find(key)
    if found is None:
        found = list(bench.rows(loaded))
        journal.add(key, found, gallery.taken())
    else:
        gallery.restore(journal.pictures(key))
    return found
