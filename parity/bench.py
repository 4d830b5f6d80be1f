"""A network's runners side by side: reference, source and candidates, for one network's turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from chunking.errors import UserError
from export.trufor_specs import NOISEPRINT_PP
from parity.cases import Case, Pixels
from parity.errors import ParityError, ProviderError
from parity.feeds import make_feeds
from parity.identity import REFUTED
from parity.judging import RowMaker
from parity.reference import require_reproducible
from parity.results import Row
from parity.runners.base import Feeds, Outputs
from parity.runners.onnxruntime_runner import OnnxRuntimeRunner
from parity.runners.providers import Provider
from parity.runners.torch_runner import TorchRunner
from parity.subjects import Subject
from parity.yardstick import choose_yardstick

logger = logging.getLogger(__name__)

# Sees a backend's outputs beside the reference's, while they are there: case, rows, reference,
# candidate.
Observer = Callable[[Case, Sequence[Row], Outputs, Outputs], None]


class Bench:
    """Runs one network everywhere.

    Args:
        subject: the network, its weights and the file to judge.
        providers: where the file is to run.
        trial: a small case that can be read: on it the reference is proven reproducible and the
            yardstick is chosen.
        threads: threads of an operator; 0 leaves the backend's choice.
        observer: told of every candidate's outputs.

    Raises:
        ParityError: the reference is not reproducible, or the file cannot be loaded.
        ProviderError: a provider that was asked for by name is not there.
    """

    def __init__(
        self,
        subject: Subject,
        providers: Sequence[Provider],
        trial: Case,
        *,
        threads: int = 0,
        observer: Observer | None = None,
    ) -> None:
        self._subject = subject
        self._observer = observer
        self._threads = threads
        self._maker = RowMaker(subject)
        self._candidates: list[OnnxRuntimeRunner] = []
        self._absent: list[tuple[Provider, str]] = []
        self._stack = ExitStack()
        try:
            self._open(providers, trial)
        except BaseException:
            self._stack.close()
            raise

    def document(self) -> dict[str, Any]:
        """What the report says of the reference and the yardstick."""
        return {"reference": "torch float64, reproducible", "torch32": self._yardstick.document()}

    def placement(self) -> dict[str, Any]:
        """Where each provider's nodes were computed on the trial, by provider."""
        found = {runner.provider: runner.placement for runner in self._candidates}
        return {name: placed.document() for name, placed in found.items() if placed}

    def rows(self, case: Case) -> Iterator[Row]:
        """Everything that there is to say of one case."""
        try:
            feeds, sha256 = self._feeds(case)
            reference, source = self._reference.run(feeds), self._source.run(feeds)
        except UserError as error:
            yield self._maker.unusable(case, error.problem)
            return
        about = self._maker.about(case, sha256, feeds)
        yield from self._maker.judged(about, self._source, source, reference, source)
        if self._subject.identity.proof == REFUTED:
            yield from self._maker.refuted(about)
        for provider, reason in self._absent:
            yield from self._maker.not_run(about, provider, reason)
        for runner in self._candidates:
            try:
                found = runner.run(feeds)
            except ParityError as error:
                yield from self._maker.failed_to_run(about, runner, error.problem)
            else:
                rows = list(self._maker.judged(about, runner, found, reference, source))
                if self._observer:
                    self._observer(case, rows, reference, found)
                yield from rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _open(self, providers: Sequence[Provider], trial: Case) -> None:
        subject, threads = self._subject, self._threads
        if subject.identity.proof != REFUTED:  # identity before numbers: others are not run
            self._open_candidates(providers)
        self._reference = self._stack.enter_context(
            TorchRunner(subject.spec, subject.weights, precision=64, threads=threads)
        )
        self._extractor: TorchRunner | None = None
        if subject.noiseprint is not None:
            self._extractor = self._stack.enter_context(
                TorchRunner(NOISEPRINT_PP, subject.noiseprint, precision=64, threads=threads)
            )
        feeds, _ = self._feeds(trial)
        self._place(feeds)
        outputs = self._reference.run(feeds)
        require_reproducible(subject.spec, subject.weights, feeds, outputs, threads=threads)
        self._yardstick = choose_yardstick(
            subject.spec, subject.weights, feeds, outputs, threads=threads
        )
        self._source = self._stack.enter_context(self._yardstick.runner)

    def _place(self, feeds: Feeds) -> None:
        """Run each candidate once, under a profile: a provider that computes no node is absent."""
        for runner in tuple(self._candidates):
            try:
                runner.run(feeds)
            except ProviderError as error:
                if runner.asked.required:
                    raise
                self._candidates.remove(runner)
                self._absent.append((runner.asked, error.problem))
            except ParityError as error:  # every case's row says so, too
                logger.info("%s does not run the trial: %s", runner.provider, error.problem)

    def _open_candidates(self, providers: Sequence[Provider]) -> None:
        spec = self._subject.spec
        wanted = {tensor.name for tensor in spec.inputs}
        for provider in providers:
            try:
                runner = OnnxRuntimeRunner(
                    self._subject.path, provider, threads=self._threads, profile=True
                )
            except ProviderError as error:
                if provider.required:
                    raise
                self._absent.append((provider, error.problem))
                continue
            self._candidates.append(self._stack.enter_context(runner))
            found = runner.input_names()
            if set(found) != wanted:
                raise ParityError(
                    f"{self._subject.path}: its inputs are {', '.join(found)}; {spec.name} has "
                    f"{', '.join(sorted(wanted))}",
                    hint="it is another network's file, or its inputs were renamed",
                )

    def _feeds(self, case: Case) -> tuple[Feeds, str]:
        pixels, sha256 = case.load()
        preprocessing = self._subject.preprocessing
        noiseprint = self._noiseprint if self._extractor else None
        return make_feeds(self._subject.spec, pixels, preprocessing, noiseprint), sha256

    def _noiseprint(self, pixels: Pixels) -> npt.NDArray[Any]:
        """(B, 1, H, W) Noiseprint++ map, float64."""
        assert self._extractor is not None  # `_feeds` passes this method on only then
        feeds = make_feeds(NOISEPRINT_PP, pixels, NOISEPRINT_PP.preprocessing)
        return self._extractor.run(feeds)["noiseprint"]
