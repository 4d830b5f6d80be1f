"""One benchmark: every network, every size, all contestants against each other."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.registry import find
from export.spec import ModelSpec
from export.trufor_specs import NOISEPRINT_PP
from parity.cases import Picture, readable
from parity.environment import environment
from parity.errors import ParityError
from parity.image_sets import find_images
from parity.latency.contest import compared, hold_contest
from parity.latency.files import describe_file, exported_file, find_files
from parity.latency.inputs import write_inputs
from parity.latency.memory import measure_memory
from parity.latency.plan import ONNXRUNTIME, SOURCE_VARIANT, TORCH32, BenchPlan, Size, Task
from parity.latency.results import BenchReport, Contestant, Latency, Memory, ModelFile
from parity.latency.statistics import CONFIDENCE, RESAMPLES

PORTABLE = "portable"

Say = Callable[[str], None]


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
    found: list[ModelFile] = []
    latency: list[Latency] = []
    memory: list[Memory] = []
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
                    hint=f"--sizes {spec.least_size} or more",
                )


def _noiseprint(plan: BenchPlan, spec: ModelSpec) -> Path:
    """The file that makes the second input, where there is one."""
    if spec.second_input != "noiseprint":
        return Path()
    return exported_file(plan, NOISEPRINT_PP, PORTABLE)


def _settings(plan: BenchPlan, picture: Picture) -> dict[str, Any]:
    return {
        **asdict(plan.rules),
        "providers": {p.name: dict(p.options) for p in plan.providers},
        "backends": list(plan.backends),
        "variants": list(plan.variants),
        "baseline": plan.baseline,
        "batch": 1,
        "picture": {"name": picture.name, "sha256": picture.digest()},
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        "interleaved": "a process each, one turn a round, in an order drawn anew each round",
        "clock": "time.perf_counter_ns around one call, inputs and outputs on the host",
    }
