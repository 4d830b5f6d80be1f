"""A network's runners side by side: reference, source and candidates, for one network's turn."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from trufor_onnx.errors import ParityError, ProviderRunError, UserError
from trufor_onnx.export.graph.in_float64 import MOST_VALUES, in_float64
from trufor_onnx.parity.inputs.cases import Case, LoadedCase
from trufor_onnx.parity.references.subject import Candidate, Subject
from trufor_onnx.parity.references.supply import LiveSupply, Prepared, Supply
from trufor_onnx.parity.results.rows import REFUTED, UNPROVEN, Group, Row
from trufor_onnx.parity.results.tolerances import tolerance_for
from trufor_onnx.parity.results.witness import MOST_OF_CASE, Witness
from trufor_onnx.parity.runners.base import Feeds, Outputs
from trufor_onnx.parity.runners.contract import (
    Contract,
    contradiction,
    order_note,
    refuse_channels_last,
    require_inputs,
    start_note,
)
from trufor_onnx.parity.runners.detector_runner import DetectorRunner
from trufor_onnx.parity.runners.onnxruntime_runner import OnnxRuntimeRunner
from trufor_onnx.parity.running.judging import RowMaker
from trufor_onnx.parity.running.steadiness import (
    mean_error,
    randomness,
    size_of,
    unsteady,
    without_optimisation,
)
from trufor_onnx.providers import Provider

Observer = Callable[[LoadedCase, Sequence[Row], Outputs, Outputs], None]

logger = logging.getLogger(__name__)


@dataclass
class _Entrant:
    """A candidate with its runners, one a provider, and the providers that are absent.

    `random` says why it is by its operators; `unsteady` the same of a provider, by two runs.
    """

    candidate: Candidate
    maker: RowMaker
    random: str = ""
    unsteady: dict[str, str] = field(default_factory=dict)
    runners: list[OnnxRuntimeRunner | DetectorRunner] = field(default_factory=list)
    refused: str = ""  # why none of them is compared
    notes: list[str] = field(default_factory=list)
    absent: list[tuple[Provider, str]] = field(default_factory=list)


class Bench:
    """Runs one network everywhere.

    Args:
        subject: the network, its weights and the files to judge.
        providers: where the files are to run.
        trial: a small case that can be read: on it the reference is proven reproducible and the
            yardstick is chosen.
        threads: threads of an operator; 0 leaves the backend's choice.
        supply: gives the references; by itself torch, without a cache.
        observer: told a case, a candidate's rows, the reference's outputs and the candidate's,
            while they are there.

    Raises:
        ParityError: the reference is not reproducible, or a file cannot be loaded.
        ProviderError: a provider that was asked for by name is not there.
    """

    def __init__(
        self,
        subject: Subject,
        providers: Sequence[Provider],
        trial: Case,
        *,
        threads: int = 0,
        supply: Supply | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._subject = subject
        self._observer = observer
        self._threads = threads
        self._supply = supply or LiveSupply(subject.network, threads=threads)
        self._source_maker = RowMaker(subject)
        self._entrants = [_Entrant(c, RowMaker(subject, c.identity)) for c in subject.candidates]
        self._trial = trial
        self._exact: dict[tuple[str, str], Outputs | None] = {}
        self._stack = ExitStack()
        self._stack.callback(self._supply.close)
        try:
            for entrant in self._entrants:
                # Identity before numbers: others are not run.
                if entrant.candidate.identity.proof != REFUTED:
                    if not entrant.candidate.detector:
                        entrant.random = randomness(entrant.candidate.path)
                    self._open_runners(entrant, providers)
                else:
                    entrant.refused = entrant.candidate.identity.reason
            self._place(self._supply.open(trial))
        except BaseException:
            self._stack.close()
            raise

    def document(self) -> dict[str, Any]:
        """What the report says of the reference, the yardstick and of how files are read."""
        notes = [note for entrant in self._entrants for note in entrant.notes]
        return self._supply.document() | ({"notes": notes} if notes else {})

    def placement(self) -> dict[str, Any]:
        """Where each provider's nodes were computed on the trial, by provider.

        Of several variants, the others' providers are called ``cpu (ort)``, after the first's.
        """
        found: dict[str, Any] = {}
        for number, entrant in enumerate(self._entrants):
            suffix = f" ({entrant.candidate.identity.variant})" if number else ""
            for runner in entrant.runners:
                if runner.placement:
                    found[runner.provider + suffix] = runner.placement.document()
        return found

    def references(self) -> dict[str, int]:
        """Where the references came from so far."""
        return self._supply.tally.document()

    def witness(self, group: Group, case: Case | None) -> Witness | None:
        """A group's candidate computed in other ways (`parity.results.witness`), if it can be.

        Args:
            group: one that did not pass by its figures.
            case: on which; None: the trial.
        """
        case = case or self._trial
        for entrant in self._entrants:
            if entrant.candidate.identity.variant != group.variant or entrant.candidate.detector:
                continue
            for runner in entrant.runners:
                if runner.provider == group.provider:
                    return self._witness(entrant.candidate, runner, group.output, case)
        return None

    def _witness(
        self,
        candidate: Candidate,
        runner: OnnxRuntimeRunner | DetectorRunner,
        output: str,
        case: Case,
    ) -> Witness | None:
        path = candidate.path
        try:
            loaded = case.load()
            prepared = self._supply.prepare(loaded)
            given = runner.run_case(loaded, prepared.feeds)
        except UserError:
            return None
        key = (candidate.identity.variant, case.name)
        if key not in self._exact:
            own = tolerance_for(self._subject.spec.name, candidate.identity.variant, output)
            most = MOST_VALUES if own.relative else MOST_OF_CASE
            self._exact[key] = in_float64(path, prepared.feeds, most)
        plain = without_optimisation(path, prepared.feeds, threads=self._threads)
        reference = prepared.reference
        mae, mae_source, exact, mae_plain = (
            mean_error(outputs, reference, output)
            for outputs in (given, prepared.source, self._exact[key], plain)
        )
        if mae is None or mae_source is None:
            return None
        size = size_of(reference, output)
        values = math.prod(prepared.feeds[self._subject.spec.inputs[0].name].shape[1:])
        return Witness(case.name, mae, mae_source, exact, mae_plain, size, values)

    def rows(self, loaded: LoadedCase) -> Iterator[Row]:
        """Everything that there is to say of one case."""
        try:
            prepared = self._supply.prepare(loaded)
        except UserError as error:
            yield self.unusable(loaded.case, error)
            return
        maker = self._source_maker
        about = maker.about(loaded, prepared.feeds)
        source, reference = prepared.source, prepared.reference
        yield from maker.judged(about, maker.source, source, reference, source)
        for entrant in self._entrants:
            yield from self._entrant_rows(entrant, loaded, prepared)

    def unusable(self, case: Case, error: UserError) -> Row:
        """The one row of a case that cannot be read, or on which the network does not run."""
        return self._source_maker.unusable(case, error.problem)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def _entrant_rows(
        self, entrant: _Entrant, loaded: LoadedCase, prepared: Prepared
    ) -> Iterator[Row]:
        maker = entrant.maker
        about = maker.about(loaded, prepared.feeds)
        if entrant.refused:
            yield from maker.refuted(about, entrant.refused)
            return
        for provider, reason in entrant.absent:
            yield from maker.not_run(about, provider, reason)
        for runner in entrant.runners:
            reason = entrant.random or entrant.unsteady.get(runner.provider, "")
            if reason:
                yield from maker.condemned(about, runner, reason)
                continue
            try:
                found = runner.run_case(loaded, prepared.feeds)
            except ParityError as error:
                yield from maker.failed_to_run(about, runner, error.problem)
            else:
                reference, source = prepared.reference, prepared.source
                rows = list(maker.judged(about, runner, found, reference, source))
                yield from rows
                if self._observer is not None:
                    self._observer(loaded, rows, reference, found)

    def _place(self, feeds: Feeds) -> None:
        """Run each candidate twice, first under a profile.

        A provider that computes no node is absent; a file that answers otherwise the second time
        is no function of its inputs.
        """
        for entrant in self._entrants:
            if entrant.random:
                continue  # it fails by that alone
            for runner in tuple(entrant.runners):
                try:
                    first = runner.run(feeds)
                    problem = unsteady(first, runner.run(feeds), runner.provider)
                    if problem:
                        entrant.unsteady[runner.provider] = problem
                except ProviderRunError as error:
                    if runner.asked.required:
                        raise
                    entrant.runners.remove(runner)
                    entrant.absent.append((runner.asked, error.problem))
                except ParityError as error:  # every case's row says so, too
                    if not isinstance(runner, DetectorRunner):
                        refuse_channels_last(entrant.candidate.path, runner.run, feeds, error)
                    logger.info("%s does not run the trial: %s", runner.provider, error.problem)

    def _open_runners(self, entrant: _Entrant, providers: Sequence[Provider]) -> None:
        opened = False
        for provider in providers:
            try:
                runner = self._runner(entrant.candidate, provider)
            except ProviderRunError as error:
                if provider.required:
                    raise
                entrant.absent.append((provider, error.problem))
                continue
            entrant.runners.append(runner)
            self._stack.enter_context(runner)
            if isinstance(runner, DetectorRunner):
                continue
            if not opened:
                self._read_contract(entrant, runner.contract())
            opened = True

    def _read_contract(self, entrant: _Entrant, contract: Contract) -> None:
        """Hold what the file says of itself against what it will be given.

        Raises:
            ParityError: it does not take what the run gives.
        """
        subject, candidate = self._subject, entrant.candidate
        require_inputs(candidate.path, subject.spec, contract.inputs)
        entrant.refused = contradiction(contract.metadata, subject.preprocessing)
        notes = [order_note(candidate.path.name, subject.spec, contract.outputs)]
        if candidate.identity.proof == UNPROVEN:  # of a proven one the graph is the network's
            first = subject.spec.inputs[0].name
            notes.append(start_note(candidate.path, first, subject.preprocessing))
        entrant.notes += [note for note in notes if note]

    def _runner(
        self, candidate: Candidate, provider: Provider
    ) -> OnnxRuntimeRunner | DetectorRunner:
        threads, path = self._threads, candidate.path
        if candidate.detector:
            variant, sha256 = candidate.identity.variant, candidate.detector
            return DetectorRunner(path, variant, provider, sha256=sha256, threads=threads)
        return OnnxRuntimeRunner(path, provider, threads=threads, profile=True)
