"""The package for scripts and notebooks: export a network, compare the file, let the gate decide.

::

    import trufor_onnx as tx

    spec = tx.ModelSpec("detector", builder=build, inputs=[...], outputs=[...])
    exported = tx.export(spec, weights="detector.pth", out="models")
    report = tx.compare(spec, exported, on="photos/", providers=["cpu"])
    report.write("reports/detector")  # json, html, junit, markdown
    decision = tx.gate(report)

What the commands do, by the same functions: `export`, `parity run`, `parity gate`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trufor_onnx.errors import ParityError
from trufor_onnx.export.build import ExportedFile, export_model
from trufor_onnx.export.networks.registry import find_typed, offer
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.networks.users import set_example
from trufor_onnx.export.variants import DEFAULT_VARIANT
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.gate.evidence import gather
from trufor_onnx.parity.gate.judge import judge
from trufor_onnx.parity.gate.policy import load_policy
from trufor_onnx.parity.inputs.feeds import example_of
from trufor_onnx.parity.references.store import open_cache
from trufor_onnx.parity.report.formats import FORMATS, JSON, write_reports
from trufor_onnx.parity.results.findings import Decision
from trufor_onnx.parity.results.rows import Group, Report, Row, Status, as_written
from trufor_onnx.parity.results.tolerances import read_tolerances
from trufor_onnx.parity.running.run import RunPlan, run_parity
from trufor_onnx.providers import parse_providers

WhereFrom = str | Path


@dataclass(frozen=True)
class ParityReport:
    """What a comparison found.

    Attributes:
        report: all of it, as ``parity.json`` has it.
        models: the folder of the files that were judged.
    """

    report: Report
    models: Path

    @property
    def passed(self) -> bool:
        """Every row passed; "not run" and "could not compare" are no pass."""
        return self.report.status is Status.PASS

    @property
    def status(self) -> Status:
        """``pass``, ``fail``, ``error`` or ``not run``."""
        return self.report.status

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every case, output and backend, those of the shape matrix too."""
        return tuple(self.report.all_rows)

    @property
    def groups(self) -> tuple[Group, ...]:
        """Over all cases: mean, spread, worst, accuracy ratio."""
        return tuple(self.report.groups)

    def write(self, folder: WhereFrom, formats: Sequence[str] = tuple(FORMATS)) -> list[Path]:
        """Write ``parity.json`` and other formats into a folder. Returns their paths.

        Raises:
            ParityError: the folder cannot be written.
        """
        return write_reports(self.report, Path(folder), list(dict.fromkeys([JSON, *formats])))


def export(
    spec: ModelSpec | str,
    *,
    weights: WhereFrom | None = None,
    stand_in: str | None = None,
    out: WhereFrom = "onnx_models",
    variant: str = DEFAULT_VARIANT,
    opset: int | None = None,
    replace: bool = False,
    example: WhereFrom | None = None,
) -> ExportedFile:
    """Export a network: the same bytes on every run, every weight proven to be the checkpoint's.

    Args:
        spec: the network, or the name of one: ``timm:resnet18``, ``my_net.py:build``.
        weights: a checkpoint, ``FILE:KEY`` for one of several state dicts in it, or a folder.
        stand_in: a seed of deterministic stand-in weights; with ``weights`` for what they lack.
        out: the folder.
        variant: how the graph is made.
        opset: the ONNX opset; the variant's own where None.
        replace: replace a file or a lock of other weights.
        example: arrays in a file, from which it is found what a network that is no `ModelSpec`
            takes.

    Raises:
        ExportError: the weights do not cover the network, or a check failed.
        ParityError: nobody said which weights.
    """
    if weights is None and stand_in is None:
        raise ParityError(
            "whose weights, nobody said",
            hint="weights='FILE.pth', or stand_in='golden' for made-up ones",
        )
    spec = _known(spec, None if example is None else str(example))
    source = WeightsSource(None if weights is None else Path(weights), stand_in)
    return export_model(spec, source, Path(out), variant=variant, opset=opset, replace=replace)


def compare(
    spec: ModelSpec | str,
    file: ExportedFile | WhereFrom,
    *,
    on: WhereFrom = "",
    weights: WhereFrom | None = None,
    providers: Sequence[str] = ("cpu",),
    max_images: int | None = None,
    shapes: bool = True,
    seed: int | None = None,
    threads: int = 0,
    cache: bool = True,
    tolerances: WhereFrom | None = None,
    feeds: WhereFrom | None = None,
) -> ParityReport:
    """Measure how far a file is from the float64 network, beside PyTorch float32.

    Args:
        spec: the network, or the name of one.
        file: what `export` gave, or any ONNX file that claims to be this network.
        on: a data set: a folder, a manifest, a pattern or an image.
        weights: the checkpoint, where ``file`` is a path.
        providers: where ONNX Runtime is to run: ``cpu``, ``cuda``, ...
        max_images: only the first so many.
        shapes: run other sizes and batches too, and sizes that are drawn.
        seed: of those; None: one that follows from the files.
        threads: threads of an operator; 0 leaves the backend's choice.
        cache: take references that were computed before, and keep new ones.
        tolerances: a TOML file of limits of your own networks, each with its reason.
        feeds: in place of ``on``, inputs that are no pictures: a folder of ``.npz`` files, a
            ``.jsonl`` manifest, or ``FILE.py:CALLABLE``.

    Raises:
        ParityError: nothing could be compared.
        ExportError: the weights do not cover the network, or the file is no ONNX file.
    """
    spec = _known(spec, None if feeds is None else str(feeds))
    ours = file if isinstance(file, ExportedFile) else None
    path = ours.path if ours else Path(str(file))
    given = None if weights is None else Path(weights)
    if ours is None and given is None:
        raise ParityError(f"{path}: whose weights, nobody said", hint="weights='FILE.pth'")
    if not on and feeds is None:
        raise ParityError("nothing to compare on", hint="on='photos', or feeds='feeds'")
    plan = RunPlan(
        models=(spec.name,),
        source=ours.source if ours and given is None else WeightsSource(given),
        images=Path(on),
        feeds="" if feeds is None else str(feeds),
        providers=tuple(parse_providers(",".join(providers))),
        most_images=max_images,
        candidates={} if ours else {spec.name: path},
        folder=path.parent,
        threads=threads,
        shapes=shapes,
        seed=seed,
        variants=(ours.variant if ours else DEFAULT_VARIANT,),
        cache=open_cache() if cache else None,
        tolerances=read_tolerances(None if tolerances is None else Path(tolerances)),
    )
    return ParityReport(as_written(run_parity(plan)), path.parent)


def gate(
    report: ParityReport,
    *,
    policy: WhereFrom | None = None,
    baselines: Sequence[WhereFrom] = (),
    bench: WhereFrom | None = None,
    tolerances: WhereFrom | None = None,
) -> Decision:
    """May this file go out? Read anew from the report's figures, never from its verdicts.

    Args:
        report: what `compare` gave.
        policy: a TOML file of rules that differ from the default policy.
        baselines: earlier releases: their folders, reports or bundles of references.
        bench: a ``bench.json``.
        tolerances: the file of limits that the report was made under; without it the gate stops.

    Returns:
        The decision: ``exit_code`` 0 released, 1 a rule failed, 2 could not be judged;
        ``findings``, one a rule.

    Raises:
        ParityError: a file is missing or of another kind.
    """
    with tempfile.TemporaryDirectory() as folder:
        (written,) = report.write(folder, [JSON])
        evidence = gather(
            written,
            models_dir=report.models,
            bench=None if bench is None else Path(bench),
            baselines=[Path(path) for path in baselines],
        )
        own = read_tolerances(None if tolerances is None else Path(tolerances))
        return judge(evidence, load_policy(None if policy is None else Path(policy)), own)


def _known(spec: ModelSpec | str, example: str | None = None) -> ModelSpec:
    """The network, which can then be found by its name; example: as ``--feeds`` takes it."""
    if example is not None:
        set_example(example_of(example))
    return find_typed(spec) if isinstance(spec, str) else offer(spec)
