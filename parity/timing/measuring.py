"""One benchmark: every network, every size, all contestants against each other."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.chunking.external_data import external_files, file_document, whole_digest
from trufor_onnx.errors import ExportError, ParityError
from trufor_onnx.export.networks.registry import NOISEPRINT_PP, find
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.parity.inputs.cases import HeldImage, Pixels, fit, make_feeds, readable
from trufor_onnx.parity.inputs.image_sets import find_images
from trufor_onnx.parity.results.contestant import Contestant
from trufor_onnx.parity.results.environment import environment
from trufor_onnx.parity.results.statistics import CONFIDENCE, RESAMPLES
from trufor_onnx.parity.results.timing import (
    BenchReport,
    LatencyFigures,
    MemoryFigures,
    TimedFile,
)
from trufor_onnx.parity.timing.contest import Worker, compared, hold_contest, measure_memory
from trufor_onnx.parity.timing.plan import (
    CANDIDATE,
    ONNXRUNTIME,
    SOURCE_VARIANT,
    TORCH32,
    BenchPlan,
    Size,
    Task,
)

PORTABLE = "portable"
Say = Callable[[str], None]


def find_files(plan: BenchPlan, spec: ModelSpec) -> dict[str, Path]:
    """A network's files by variant: those of the plan, and the candidate that the user named.

    Raises:
        ParityError: a named file is not there.
        ExportError: the network has no such variant, or a file is missing and cannot be exported.
    """
    found = {variant: exported_file(plan, spec, variant) for variant in plan.variants}
    named = plan.candidates.get(spec.name)
    if named is not None:
        if not named.is_file():
            raise ParityError(
                f"no file {named}", hint=f"--candidate {spec.name}=FILE.onnx names a file"
            )
        found[CANDIDATE] = named
    return found


def describe_file(spec: ModelSpec, variant: str, path: Path) -> TimedFile:
    """Name, size and digest of a file, over those with its tensors too.

    Raises:
        ParityError: it cannot be read.
        ExportError: it is no ONNX file, or one with its tensors is missing.
    """
    try:
        path.stat()
        external = external_files(path)
        size = sum(file.stat().st_size for file in (path, *external.values()))
        sha256 = whole_digest(file_document(path, external))
        return TimedFile(spec.name, variant, path.name, size, sha256)
    except OSError as error:
        raise ParityError(
            f"{path}: cannot be read ({error.strerror})", hint="check its permissions"
        ) from error


def exported_file(plan: BenchPlan, spec: ModelSpec, variant: str) -> Path:
    """An exported file, made where it is missing.

    Raises:
        ExportError: it is missing and cannot be exported.
    """
    from trufor_onnx.export.replacing import require_here
    from trufor_onnx.export.variants import file_stem

    path = plan.folder / f"{file_stem(spec, variant)}.onnx"
    require_here(path, ParityError)  # merged or pulled, never made anew
    if not path.is_file():
        from trufor_onnx.export.build import export_model  # imports torch

        try:
            export_model(spec, plan.source, plan.folder, variant=variant)
        except ExportError as error:
            raise ExportError(
                f"{path} is not there, and cannot be exported: {error.problem}", hint=error.hint
            ) from error
    return path


def write_inputs(
    spec: ModelSpec, picture: HeldImage, size: Size, noiseprint: Path, out: Path
) -> int:
    """Write a network's inputs for one picture into an ``.npz`` file. Returns their bytes.

    The picture is cropped or mirrored to the size, never resized. A second input is its
    Noiseprint++ map, made in a process of its own: this one imports no framework.

    Args:
        spec: the network.
        picture: a picture that was read.
        size: height and width; a network of fixed size has its own.
        noiseprint: an exported Noiseprint++, where the network's second input is its map.
        out: the file to write.

    Raises:
        UserError: the picture is smaller than the network takes.
    """
    pixels = fit(picture.rgb, size)[np.newaxis]

    def extract(images: Pixels) -> npt.NDArray[np.float32]:
        return _inputs_noiseprint(images, noiseprint, out.with_suffix(".noiseprint.npz"))

    feeds = make_feeds(spec, pixels, spec.preprocessing, extract)
    with out.open("wb") as stream:
        np.savez(stream, **feeds)  # type: ignore[arg-type] # the names are the network's inputs
    return sum(array.nbytes for array in feeds.values())


def _inputs_noiseprint(images: Pixels, path: Path, scratch: Path) -> npt.NDArray[np.float32]:
    feeds = make_feeds(NOISEPRINT_PP, images, NOISEPRINT_PP.preprocessing)
    with scratch.open("wb") as stream:
        np.savez(stream, **feeds)  # type: ignore[arg-type] # as above
    with Worker(Task(ONNXRUNTIME, str(scratch), path=str(path))) as worker:
        worker.ask("save", path=str(scratch))
    with np.load(scratch) as outputs:
        found: npt.NDArray[np.float32] = outputs[NOISEPRINT_PP.outputs[0].name]
    return found


def run_bench(
    plan: BenchPlan,
    say: Say = lambda text: None,  # noqa: ARG005 - the default says nothing
) -> BenchReport:
    """Measure latency, and peak memory where the plan wants it.

    Args:
        plan: what the user asked for.
        say: told what is being done.

    Raises:
        ParityError: nothing can be measured: no picture, a size too small, a file not there.
        ExportError: a network is unknown, or a missing file cannot be exported.
    """
    specs = [find(name) for name in dict.fromkeys(plan.models)]
    _require_sizes(plan, specs)
    (picture,) = readable(find_images(plan.images), wanted=1)
    found: list[TimedFile] = []
    latency: list[LatencyFigures] = []
    memory: list[MemoryFigures] = []
    for spec in specs:
        say(f"{spec.name}: files")
        files = find_files(plan, spec) if ONNXRUNTIME in plan.backends else {}
        found += [describe_file(spec, variant, path) for variant, path in files.items()]
        for size in _sizes(plan, spec):
            with tempfile.TemporaryDirectory(prefix="trufor-onnx-") as folder:
                inputs = Path(folder) / "inputs.npz"
                write_inputs(spec, picture, size, _noiseprint(plan, spec), inputs)
                tasks = _tasks(plan, spec, files, inputs)
                where = f"{spec.name} {size[0]} x {size[1]}"
                rows = hold_contest(tasks, size, plan.rules, _prefixed(say, where))
                latency += compared(rows, plan.baseline, plan.rules)
                for contestant, task in tasks.items() if plan.memory else ():
                    say(f"{where}: memory of {contestant.name}")
                    memory.append(measure_memory(contestant, task, size))
    return BenchReport(
        environment=environment(threads=plan.rules.threads, settings={}),
        settings=_settings(plan, picture),
        files=tuple(found),
        latency=tuple(latency),
        memory=tuple(memory),
    )


def _prefixed(say: Say, where: str) -> Say:
    return lambda text: say(f"{where}: {text}")


def _tasks(
    plan: BenchPlan, spec: ModelSpec, files: dict[str, Path], inputs: Path
) -> dict[Contestant, Task]:
    """The contestants of one network, with what their processes run."""
    rules = plan.rules
    found = {
        Contestant(spec.name, variant, ONNXRUNTIME, provider.name): Task(
            ONNXRUNTIME,
            str(inputs),
            rules.threads,
            rules.spinning,
            path=str(path),
            provider=provider.name,
            required=provider.required,
        )
        for variant, path in files.items()
        for provider in plan.providers
    }
    if TORCH32 in plan.backends:
        found[Contestant(spec.name, SOURCE_VARIANT, TORCH32, "cpu")] = Task(
            TORCH32,
            str(inputs),
            rules.threads,
            model=spec.name,
            weights=str(plan.source.path or ""),
            stand_in=plan.source.stand_in,
        )
    return found


def _sizes(plan: BenchPlan, spec: ModelSpec) -> list[Size]:
    return [spec.fixed_size] if spec.fixed_size else list(dict.fromkeys(plan.sizes))


def _require_sizes(plan: BenchPlan, specs: list[ModelSpec]) -> None:
    """Before anything long begins."""
    for spec in specs:
        for size in _sizes(plan, spec):
            if min(size) < spec.least_size:
                raise ParityError(
                    f"{size[0]} x {size[1]} pixels are fewer than {spec.name} takes",
                    hint=f"--size {spec.least_size} or more",
                )


def _noiseprint(plan: BenchPlan, spec: ModelSpec) -> Path:
    """The file that makes the second input, where there is one."""
    if spec.second_input != "noiseprint":
        return Path()
    return exported_file(plan, NOISEPRINT_PP, PORTABLE)


def _settings(plan: BenchPlan, picture: HeldImage) -> dict[str, Any]:
    return {
        **asdict(plan.rules),
        "providers": {p.name: dict(p.options) for p in plan.providers},
        "backends": list(plan.backends),
        "variants": list(plan.variants),
        "baseline": plan.baseline,
        "batch": 1,
        "picture": {"name": picture.name, "sha256": picture.sha256},
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        "interleaved": "a process each, one turn a round, in an order drawn anew each round",
        "clock": "time.perf_counter_ns around one call, inputs and outputs on the host",
    }
