"""From arrays to rows: each output of each backend becomes one judged row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.inputs.cases import Case, LoadedCase
from trufor_onnx.parity.references.identity import Identity
from trufor_onnx.parity.references.subject import Subject
from trufor_onnx.parity.results.comparison import compare_names, judge
from trufor_onnx.parity.results.limits import undefined
from trufor_onnx.parity.results.metrics import flip_problem, outcome, values_digest, values_of
from trufor_onnx.parity.results.rows import REFUTED, SOURCE, Row, Status
from trufor_onnx.parity.results.sketch import sketch
from trufor_onnx.parity.results.tolerances import tolerance_for
from trufor_onnx.parity.runners.base import Feeds, Outputs
from trufor_onnx.parity.runners.onnxruntime_runner import BACKEND
from trufor_onnx.providers import Provider

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


@dataclass
class Unopened:
    """What would have given an output."""

    backend: str
    provider: str


@dataclass(frozen=True)
class About:
    """Which case a row speaks of."""

    case: Case
    sha256: str
    shape: tuple[int, ...]
    pixels_sha256: str = ""


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
        self._identity = identity or subject.candidates[0].identity
        self._spec = spec = subject.spec
        self._weights = subject.network.weights.label
        self._outputs = [tensor.name for tensor in spec.outputs]
        self._first_input = spec.inputs[0].name
        # Read once, for all cases; a file of other weights is not compared, and needs none.
        judged = (SOURCE_PROOF, *([self._identity.variant] * (self._identity.proof != REFUTED)))
        self._tolerances = {
            (variant, output): tolerance_for(spec.name, variant, output)
            for variant in judged
            for output in self._outputs
        }

    def about(self, loaded: LoadedCase, feeds: Feeds) -> About:
        """What all rows of a case share; PyTorch's also say of which pixels they are."""
        shape = feeds[self._first_input].shape
        return About(loaded.case, loaded.sha256, shape, loaded.pixels_sha256)

    def judged(
        self, about: About, runner: Ran, found: Outputs, reference: Outputs, source: Outputs
    ) -> Iterator[Row]:
        """One row an output, compared with the float64 network and with PyTorch float32."""
        spec = self._spec
        self._require_honest(runner)
        problems = compare_names(self._outputs, found, spec.name)
        for name in self._outputs:
            if name in problems:
                yield self._row(about, runner, name, Status.FAIL, problems.pop(name))
                continue
            tolerance = self._tolerances[self._variant(runner), name]
            kind = about.case.made
            if kind and not tolerance.relative:  # whether it says anything is decided here
                tolerance = replace(tolerance, cleared=1.0)
            verdict = judge(found[name], reference[name], source[name], tolerance)
            if kind and verdict.status is not Status.PASS:
                why = undefined(kind, found[name], reference[name], source[name], tolerance)
                if why:
                    yield self._row(about, runner, name, Status.NOT_RUN, why)
                    continue
            if verdict.errors is None:
                yield self._row(about, runner, name, verdict.status, verdict.reason)
                continue
            decisions = outcome(spec.judged, name, found[name], reference[name])
            flip = flip_problem(decisions, tolerance.max_abs)
            status, reason = verdict.status, verdict.reason
            if status is Status.PASS and flip and runner is not self.source:
                status, reason = Status.FAIL, flip
            figures = asdict(verdict.errors) | {
                "mae_torch32": verdict.mae_torch32,
                "accuracy_ratio": verdict.ratio,
                "outcome": decisions,
                "reference": values_of(reference[name]),
                "found": values_of(found[name]),
                "found_sha256": values_digest(found[name]),
            }
            if runner is self.source and about.pixels_sha256:
                figures["sketch"] = {"pixels": about.pixels_sha256, **sketch(reference[name])}
            yield self._row(about, runner, name, status, reason, **figures)
        for name, reason in problems.items():
            yield self._row(about, runner, name, Status.FAIL, reason)

    def unusable(self, case: Case, reason: str) -> Row:
        """The one row of a case that has no input, or on which the network does not run."""
        return self._plain(About(case, "", ()), None, "", Status.ERROR, reason)

    def refuted(self, about: About, reason: str = "") -> Iterator[Row]:
        """Rows of a file that is not the network, or not for these inputs: failed, not run."""
        for name in self._outputs:
            why = reason or self._identity.reason
            yield self._plain(about, Unopened(BACKEND, ""), name, Status.FAIL, why)

    def condemned(self, about: About, runner: Ran, reason: str) -> Iterator[Row]:
        """Rows of a file that is no function of its inputs: failed without being compared."""
        for name in self._outputs:
            yield self._row(about, runner, name, Status.FAIL, reason)

    def not_run(self, about: About, provider: Provider, reason: str) -> Iterator[Row]:
        """Rows of a provider that is absent and was not asked for by name."""
        for name in self._outputs:
            runner = Unopened(BACKEND, provider.name)
            yield self._plain(about, runner, name, Status.NOT_RUN, reason)

    def failed_to_run(self, about: About, runner: Ran, reason: str) -> Iterator[Row]:
        """Rows of a backend that could not run a case."""
        for name in self._outputs:
            yield self._row(about, runner, name, Status.ERROR, reason)

    def _require_honest(self, runner: Ran) -> None:
        """A candidate's runner that takes PyTorch's name would be measured against itself.

        Raises:
            ParityError: it does.
        """
        if runner is not self.source and runner.backend in ("", SOURCE):
            raise ParityError(
                f"a runner of a file calls itself {runner.backend!r}, which is PyTorch's name",
                hint="give the runner a `backend` of its own: docs/adding-a-backend.md",
            )

    def _row(
        self, about: About, runner: Ran, output: str, status: Status, reason: str, **found: Any
    ) -> Row:
        self._require_honest(runner)
        return self._plain(about, runner, output, status, reason, **found)

    def _plain(
        self,
        about: About,
        runner: Ran | None,
        output: str,
        status: Status,
        reason: str,
        **found: Any,
    ) -> Row:
        """A row of a runner; None: it speaks of an image alone."""
        proof = SOURCE_PROOF if runner is self.source else self._identity.proof
        return Row(
            model=self._spec.name,
            variant=self._variant(runner) if runner else "",
            weights=self._weights,
            proof=proof if runner else "",
            backend=runner.backend if runner else "",
            provider=runner.provider if runner else "",
            image=about.case.name,
            image_sha256=about.sha256,
            label=about.case.label,
            shape=about.shape,
            output=output,
            status=status,
            reason=reason,
            **found,
        )

    def _variant(self, runner: Ran) -> str:
        """Only PyTorch's own rows are the source's; whatever else ran, it ran the file."""
        return SOURCE_PROOF if runner is self.source else self._identity.variant
