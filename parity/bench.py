"""A network's runners side by side: reference, source and candidates, for one network's turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from chunking.errors import UserError
from export.trufor_specs import NOISEPRINT_PP
from parity.cases import Case, Pixels
from parity.errors import ParityError, ProviderError
from parity.feeds import make_feeds
from parity.identity import REFUTED
from parity.judging import RowMaker
from parity.results import Row
from parity.runners.base import Feeds, Outputs, Runner
from parity.runners.onnxruntime_runner import OnnxRuntimeRunner
from parity.runners.providers import Provider
from parity.runners.torch_runner import TorchRunner
from parity.subjects import Subject
from parity.yardstick import Yardstick, choose_yardstick


class Bench:
    """Runs one network everywhere.

    Args:
        subject: the network, its weights and the file to judge.
        providers: where the file is to run.
        trials: small cases; the first that can be read proves the reference reproducible and
            chooses the yardstick.
        threads: threads of an operator; 0 leaves the backend's choice.

    Raises:
        ParityError: the reference is not reproducible, or no trial can be read.
        ProviderError: a provider that was asked for by name is not there.
    """

    def __init__(
        self,
        subject: Subject,
        providers: Sequence[Provider],
        trials: Sequence[Case],
        *,
        threads: int = 0,
    ) -> None:
        self._subject = subject
        self._maker = RowMaker(subject)
        self._stack = ExitStack()
        self._threads = threads
        self._reference = self._torch(64)
        self._extractor: TorchRunner | None = None
        if subject.noiseprint is not None:
            extractor = TorchRunner(
                NOISEPRINT_PP, subject.noiseprint, precision=64, threads=threads
            )
            self._extractor = self._stack.enter_context(extractor)
        self._yardstick = self._prove(trials)
        self._source = self._stack.enter_context(self._yardstick.runner)
        self._candidates: list[Runner] = []
        self._absent: list[tuple[Provider, str]] = []
        if subject.identity.proof != REFUTED:  # identity before numbers: others are not run
            self._open(providers)

    def document(self) -> dict[str, Any]:
        """What the report says of the reference and the yardstick."""
        return {"reference": "torch float64, reproducible", "torch32": self._yardstick.document()}

    def rows(self, case: Case) -> Iterator[Row]:
        """Everything that there is to say of one case."""
        try:
            feeds, sha256 = self._feeds(case)
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _torch(self, precision: int) -> TorchRunner:
        spec, weights = self._subject.spec, self._subject.weights
        runner = TorchRunner(spec, weights, precision=precision, threads=self._threads)
        return self._stack.enter_context(runner)

    def _prove(self, trials: Sequence[Case]) -> Yardstick:
        """The reference, built again, gives the same numbers; then the yardstick is chosen."""
        spec, weights = self._subject.spec, self._subject.weights
        feeds = self._first_feeds(trials)
        outputs = self._reference.run(feeds)
        with TorchRunner(spec, weights, precision=64, threads=self._threads) as again:
            repeated = again.run(feeds)
        for name, array in outputs.items():
            if not np.array_equal(array, repeated[name]):
                raise ParityError(
                    f"{spec.name}: the float64 reference, built twice, differs in {name}",
                    hint="a tensor of the network is not set by its weights, or an operator is "
                    "not deterministic; nothing can be compared with it",
                )
        return choose_yardstick(spec, weights, feeds, outputs, threads=self._threads)

    def _first_feeds(self, trials: Sequence[Case]) -> Feeds:
        problem = "no trial"
        for case in trials:
            try:
                return self._feeds(case)[0]
            except UserError as error:
                problem = error.problem
        raise ParityError(
            f"no image can be read ({problem})", hint="name a folder of images with --images"
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

    def _open(self, providers: Sequence[Provider]) -> None:
        for provider in providers:
            try:
                runner = OnnxRuntimeRunner(self._subject.path, provider, threads=self._threads)
            except ProviderError as error:
                if provider.required:
                    raise
                self._absent.append((provider, error.problem))
            else:
                self._candidates.append(self._stack.enter_context(runner))
