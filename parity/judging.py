"""From arrays to rows: each output of each backend becomes one judged row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from parity.cases import Case
from parity.compare import compare_names, judge
from parity.identity import Identity
from parity.metrics import values_digest, values_of
from parity.outcomes import flip_problem, outcome
from parity.results import SOURCE, Row, Status
from parity.runners.base import Feeds, Outputs
from parity.runners.onnxruntime_runner import BACKEND
from parity.runners.providers import Provider
from parity.subjects import Subject
from parity.tolerances import tolerance_for

SOURCE_PROOF = "source"  # PyTorch itself runs the checkpoint's tensors


class Ran(Protocol):
    """What gave an output, as `parity.runners.base.Runner` says it."""

    backend: str
    provider: str


@dataclass
class Source:
    """PyTorch float32, whose outputs may be stored ones."""

    backend: str = SOURCE
    provider: str = "cpu"


@dataclass(frozen=True)
class About:
    """Which case a row speaks of."""

    case: Case
    sha256: str
    shape: tuple[int, ...]


class RowMaker:
    """Makes the rows of one network, and of one file that claims to be it.

    Args:
        subject: the network.
        identity: what is known of the file; the first candidate's where none is given.

    Attributes:
        source: PyTorch float32.
    """

    def __init__(self, subject: Subject, identity: Identity | None = None) -> None:
        self.source = Source()
        self._subject = subject
        self._identity = identity or subject.candidates[0].identity
        self._outputs = [tensor.name for tensor in subject.spec.outputs]

    def about(self, case: Case, sha256: str, feeds: Feeds) -> About:
        """What all rows of a case share."""
        return About(case, sha256, feeds[self._subject.spec.inputs[0].name].shape)

    def judged(
        self, about: About, runner: Ran, found: Outputs, reference: Outputs, source: Outputs
    ) -> Iterator[Row]:
        """One row an output, compared with the float64 network and with PyTorch float32."""
        spec = self._subject.spec
        problems = compare_names(self._outputs, found, spec.name)
        for name in self._outputs:
            if name in problems:
                yield self._row(about, runner, name, Status.FAIL, problems.pop(name))
                continue
            tolerance = tolerance_for(spec.name, self._variant(runner.backend), name)
            verdict = judge(found[name], reference[name], source[name], tolerance)
            if verdict.errors is None:
                yield self._row(about, runner, name, verdict.status, verdict.reason)
                continue
            decisions = outcome(spec.judged, name, found[name], reference[name])
            flip = flip_problem(decisions, tolerance.max_abs)
            status, reason = verdict.status, verdict.reason
            if status is Status.PASS and flip and runner.backend != SOURCE:
                status, reason = Status.FAIL, flip
            figures = asdict(verdict.errors) | {
                "mae_torch32": verdict.mae_torch32,
                "accuracy_ratio": verdict.ratio,
                "outcome": decisions,
                "reference": values_of(reference[name]),
                "found": values_of(found[name]),
                "found_sha256": values_digest(found[name]),
            }
            yield self._row(about, runner, name, status, reason, **figures)
        for name, reason in problems.items():
            yield self._row(about, runner, name, Status.FAIL, reason)

    def unusable(self, case: Case, reason: str) -> Row:
        """The one row of a case that has no input, or on which the network does not run."""
        return self._plain(About(case, "", ()), "", "", "", Status.ERROR, reason)

    def refuted(self, about: About) -> Iterator[Row]:
        """Rows of a file that is not the network: failed without being run."""
        for name in self._outputs:
            reason = self._identity.reason
            yield self._plain(about, BACKEND, "", name, Status.FAIL, reason)

    def condemned(self, about: About, runner: Ran, reason: str) -> Iterator[Row]:
        """Rows of a file that is no function of its inputs: failed without being compared."""
        for name in self._outputs:
            yield self._row(about, runner, name, Status.FAIL, reason)

    def not_run(self, about: About, provider: Provider, reason: str) -> Iterator[Row]:
        """Rows of a provider that is absent and was not asked for by name."""
        for name in self._outputs:
            yield self._plain(about, BACKEND, provider.name, name, Status.NOT_RUN, reason)

    def failed_to_run(self, about: About, runner: Ran, reason: str) -> Iterator[Row]:
        """Rows of a backend that could not run a case."""
        for name in self._outputs:
            yield self._row(about, runner, name, Status.ERROR, reason)

    def _row(
        self, about: About, runner: Ran, output: str, status: Status, reason: str, **found: Any
    ) -> Row:
        return self._plain(about, runner.backend, runner.provider, output, status, reason, **found)

    def _plain(
        self,
        about: About,
        backend: str,
        provider: str,
        output: str,
        status: Status,
        reason: str,
        **found: Any,
    ) -> Row:
        subject = self._subject
        candidate = backend == BACKEND
        return Row(
            model=subject.spec.name,
            variant=self._variant(backend),
            weights=subject.network.weights.label,
            proof=self._identity.proof if candidate else _source_or_none(backend),
            backend=backend,
            provider=provider,
            image=about.case.name,
            image_sha256=about.sha256,
            label=about.case.label,
            shape=about.shape,
            output=output,
            status=status,
            reason=reason,
            **found,
        )

    def _variant(self, backend: str) -> str:
        return self._identity.variant if backend == BACKEND else _source_or_none(backend)


def _source_or_none(backend: str) -> str:
    """A row without a backend speaks of an image alone."""
    return SOURCE_PROOF if backend else ""
