"""One parity run: every network, every image, every backend, every output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from export.sources import WeightsSource
from parity.bench import Bench
from parity.cases import Case, describe, find_images, shape_cases
from parity.environment import environment
from parity.errors import ParityError
from parity.results import Report, Row
from parity.runners.providers import Provider
from parity.subjects import make_subject
from parity.summary import summarise

LEAST_TRIAL = 64  # pixels a side


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
            say=listener.say,
        )
        shapes = shape_cases(subject.spec, images)
        turns = ((rows, images), (shape_rows, shapes if plan.shapes else []))
        listener.model(name, sum(len(cases) for _, cases in turns))
        listener.say(f"{name}: proving the reference reproducible")
        trials = sorted(shapes, key=_trial_order)
        with Bench(subject, plan.providers, trials, threads=plan.threads) as bench:
            documents[name] = subject.document() | bench.document()
            for target, cases in turns:
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


def _trial_order(case: Case) -> tuple[bool, int]:
    """The smallest image first, but none so small that its borders outweigh its content."""
    height, width = case.size or (0, 0)
    return min(height, width) < LEAST_TRIAL, height * width * len(case.paths)
