"""One parity run: every network, every image, every backend, every output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from chunking.errors import UserError
from export.sources import WeightsSource
from export.trufor_specs import NOISEPRINT_PP
from parity.cases import Case, Pixels, describe, find_images, shape_cases
from parity.environment import environment
from parity.errors import ParityError, ProviderError
from parity.feeds import make_feeds
from parity.identity import REFUTED
from parity.judging import RowMaker
from parity.results import Report, Row
from parity.runners.base import Outputs, Runner
from parity.runners.onnxruntime_runner import OnnxRuntimeRunner
from parity.runners.providers import Provider
from parity.runners.torch_runner import TorchRunner
from parity.subjects import Subject, make_subject
from parity.summary import summarise


@dataclass(frozen=True)
class Plan:
    """What the user asked for.

    Attributes:
        models: names of networks.
        source: the choice of weights.
        images: the data set's folder.
        providers: where ONNX Runtime is to run.
        most_images: only the first so many.
        candidates: files to judge in place of exported ones, by network.
        folder: where exported files are.
        pixel_scale: what 8-bit values are divided by, where it is not the network's own.
        threads: threads of an operator; 0 leaves the backend's choice.
        shapes: run the shape matrix too.
    """

    models: tuple[str, ...]
    source: WeightsSource
    images: Path
    providers: tuple[Provider, ...]
    most_images: int | None = None
    candidates: Mapping[str, Path] = field(default_factory=dict)
    folder: Path = Path("onnx_models")
    pixel_scale: float | None = None
    threads: int = 0
    shapes: bool = True


class Listener:
    """Told how a run goes on; this one says nothing."""

    def model(self, name: str, cases: int) -> None:
        """A network's turn begins, with so many cases."""

    def say(self, text: str) -> None:
        """Something that takes a while is being done."""

    def rows(self, rows: list[Row]) -> None:
        """One case is done."""


def run_parity(plan: Plan, listener: Listener | None = None) -> Report:
    """Compare ONNX Runtime with PyTorch on every image.

    Raises:
        ParityError: nothing could be compared: no image, no model, a provider that is absent.
        ExportError: the weights do not cover a network.
    """
    listener = listener or Listener()
    if not plan.models:
        raise ParityError("no model to compare", hint="name some with --models")
    unknown = [name for name in plan.candidates if name not in plan.models]
    if unknown:
        raise ParityError(
            f"--candidate names {', '.join(unknown)}, which --models does not",
            hint=f"add it: --models {' '.join([*plan.models, *unknown])}",
        )
    images = find_images(plan.images, most=plan.most_images)
    rows: list[Row] = []
    shape_rows: list[Row] = []
    documents: dict[str, Any] = {}
    for name in dict.fromkeys(plan.models):
        listener.say(name)
        subject = make_subject(
            name,
            plan.source,
            candidates=plan.candidates,
            folder=plan.folder,
            pixel_scale=plan.pixel_scale,
            say=lambda text, name=name: listener.say(f"{name}: {text}"),
        )
        documents[name] = subject.document()
        shapes = shape_cases(subject.spec, images) if plan.shapes else []
        listener.model(name, len(images) + len(shapes))
        with ExitStack() as stack:
            bench = _Bench(subject, plan, stack)
            for target, cases in ((rows, images), (shape_rows, shapes)):
                for case in cases:
                    found = list(bench.rows(case))
                    target.extend(found)
                    listener.rows(found)
    return Report(
        environment=environment(
            threads=plan.threads,
            settings={
                "providers": {p.name: dict(p.options) for p in plan.providers},
                "data_set": describe(images),
                "shapes": plan.shapes,
            },
        ),
        models=documents,
        rows=tuple(rows),
        shape_rows=tuple(shape_rows),
        groups=(*summarise(rows, "images"), *summarise(shape_rows, "shapes")),
    )


class _Bench:
    """A network's runners, open for as long as its turn lasts."""

    def __init__(self, subject: Subject, plan: Plan, stack: ExitStack) -> None:
        self._subject = subject
        self._maker = RowMaker(subject)
        spec, weights, threads = subject.spec, subject.weights, plan.threads
        self._reference = stack.enter_context(
            TorchRunner(spec, weights, precision=64, threads=threads)
        )
        self._source = stack.enter_context(
            TorchRunner(spec, weights, precision=32, threads=threads)
        )
        self._noiseprint: Callable[[Pixels], npt.NDArray[Any]] | None = None
        if subject.noiseprint is not None:
            extractor = TorchRunner(
                NOISEPRINT_PP, subject.noiseprint, precision=64, threads=threads
            )
            self._noiseprint = _noiseprint_with(stack.enter_context(extractor))
        self._candidates: list[Runner] = []
        self._absent: list[tuple[Provider, str]] = []
        if subject.identity.proof == REFUTED:
            return  # identity before numbers: such a file is not run
        for provider in plan.providers:
            try:
                runner = OnnxRuntimeRunner(subject.path, provider, threads=threads)
            except ProviderError as error:
                if provider.required:
                    raise
                self._absent.append((provider, error.problem))
            else:
                self._candidates.append(stack.enter_context(runner))

    def rows(self, case: Case) -> Iterator[Row]:
        """Everything that there is to say of one case."""
        try:
            pixels, sha256 = case.load()
            feeds = make_feeds(
                self._subject.spec, pixels, self._subject.preprocessing, self._noiseprint
            )
        except UserError as error:
            yield self._maker.unreadable(case, error.problem)
            return
        about = self._maker.about(case, sha256, feeds)
        reference, source = self._reference.run(feeds), self._source.run(feeds)
        yield from self._maker.judged(about, self._source, source, reference, source)
        if self._subject.identity.proof == REFUTED:
            yield from self._maker.refuted(about)
        for provider, reason in self._absent:
            yield from self._maker.not_run(about, provider, reason)
        for runner in self._candidates:
            try:
                found: Outputs = runner.run(feeds)
            except ParityError as error:
                yield from self._maker.failed_to_run(about, runner, error.problem)
            else:
                yield from self._maker.judged(about, runner, found, reference, source)


def _noiseprint_with(runner: TorchRunner) -> Callable[[Pixels], npt.NDArray[Any]]:
    def noiseprint(pixels: Pixels) -> npt.NDArray[Any]:
        feeds = make_feeds(NOISEPRINT_PP, pixels, NOISEPRINT_PP.preprocessing)
        return runner.run(feeds)["noiseprint"]

    return noiseprint
