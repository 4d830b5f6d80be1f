"""Choose the PyTorch float32 that candidates are measured against, and say which it was."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from trufor_onnx.errors import ParityError, first_few
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.tensors import Weights
from trufor_onnx.parity.results.environment import processor
from trufor_onnx.parity.results.metrics import mean_absolute_error
from trufor_onnx.parity.runners.base import Feeds, Outputs
from trufor_onnx.parity.runners.torch_runner import NATIVE, ONEDNN, TorchRunner

# oneDNN is what users run; it is left only where it is clearly the worse of PyTorch's kernels.
CLEARLY_WORSE = 1.5
SINGLE = {"float32"}
SHOWN = 5
INSTRUCTIONS = ("fma", "avx", "amx", "asimd", "sve", "vsx")  # how the names of such flags begin
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
)


@dataclass(frozen=True)
class Yardstick:
    """PyTorch float32 as it is used in a run.

    Attributes:
        runner: the network in float32.
        kernel: ``onednn`` or ``native``.
        errors: mean absolute error against float64 on the trial, by kernel and output.
    """

    runner: TorchRunner
    kernel: str
    errors: dict[str, dict[str, float]]

    def document(self) -> dict[str, object]:
        """As the report has it."""
        import torch

        precision = str(self.runner.dtype).removeprefix("torch.")
        own = {} if precision in SINGLE else {"precision": precision}
        return own | {
            "convolution_kernel": self.kernel,
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "trial_mae": self.errors,
        }


def choose_yardstick(
    spec: ModelSpec, weights: Weights, feeds: Feeds, reference: Outputs, *, threads: int
) -> Yardstick:
    """The more accurate of PyTorch's float32 kernels on one trial.

    Args:
        spec: the network.
        weights: its tensors.
        feeds: the trial's inputs.
        reference: what the float64 network gave for them.
        threads: threads of an operator; 0 leaves torch's choice.

    Raises:
        ParityError: an output is empty, or its size depends on the precision.
    """
    plain = TorchRunner(spec, weights, precision=32, threads=threads)
    errors = {ONEDNN: _errors(spec, plain, feeds, reference)}
    native = TorchRunner(spec, weights, precision=32, threads=threads, kernel=NATIVE)
    if native.replaced == 0:
        return Yardstick(plain, ONEDNN, errors)
    errors[NATIVE] = _errors(spec, native, feeds, reference)
    worse = clearly_worse(errors[ONEDNN], errors[NATIVE])
    return Yardstick(native if worse else plain, NATIVE if worse else ONEDNN, errors)


def clearly_worse(plain: Mapping[str, float], native: Mapping[str, float]) -> bool:
    """Whether oneDNN is farther from float64 by a clear margin, on any output."""
    return any(plain[name] > CLEARLY_WORSE * native[name] for name in native)


def _errors(
    spec: ModelSpec, runner: TorchRunner, feeds: Feeds, reference: Outputs
) -> dict[str, float]:
    found = runner.run(feeds)
    for name, array in reference.items():
        if array.size == 0 or array.shape != found[name].shape:
            raise ParityError(
                f"{spec.name}: its output {name} has shape {found[name].shape} in float32, "
                f"{array.shape} in float64: there is nothing to compare",
                hint="let the network return what its last layers compute, before a selection "
                "whose number depends on the values (nonzero, non-maximum suppression)",
            )
    return {name: mean_absolute_error(found[name], reference[name]) for name in reference}


def require_reproducible(
    spec: ModelSpec, weights: Weights, feeds: Feeds, outputs: Outputs, *, threads: int
) -> list[str]:
    """Build the reference again and hold it to what the first one gave, bit for bit.

    Args:
        spec: the network.
        weights: its tensors.
        feeds: a trial's inputs.
        outputs: what the reference gave for them.
        threads: threads of an operator; 0 leaves torch's choice.

    Returns:
        Which modules compute in float32, a sentence each: there the reference is as PyTorch
        float32 is, and a ratio to its error says little.

    Raises:
        ParityError: an output differs, or a module computes in less than float32.
    """
    with TorchRunner(spec, weights, precision=64, threads=threads) as again:
        repeated, narrower = again.watched(feeds)
        if not _same(outputs, repeated):
            # Where it is watched, torch takes recurrent layers apart, and rounds otherwise.
            repeated = again.run(feeds)
    for name, array in outputs.items():
        if not np.array_equal(array, repeated[name], equal_nan=True):
            raise ParityError(
                f"{spec.name}: the float64 reference, built twice, differs in {name}",
                hint="a tensor of the network is not set by its weights, or an operator is "
                "not deterministic; nothing can be compared with it",
            )
    said = [
        f"{module} computes in {' and '.join(sorted(types))}" for module, types in narrower.items()
    ]
    less = [text for text, types in zip(said, narrower.values(), strict=True) if types != SINGLE]
    if less:
        raise ParityError(
            f"{spec.name}: the reference is not float64 throughout: {first_few(less, SHOWN)}",
            hint="let it keep the precision of its input there: .to(x.dtype) in place of .half(); "
            "a reference that is coarser than the file cannot judge it",
        )
    return said


def _same(one: Outputs, other: Outputs) -> bool:
    return all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


def machine(*, threads: int) -> dict[str, Any]:
    """Processor, instructions, threads and the variables that choose kernels.

    Args:
        threads: threads of an operator; 0 leaves torch's choice, which follows the processors.
    """
    return {
        "processor": processor(),
        "instructions": list(_instructions()),
        "threads": threads,
        "processors": _processors(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _instructions() -> tuple[str, ...]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    flags = lines[0].partition(":")[2].split() if lines else []
    return tuple(sorted(flag for flag in flags if flag.startswith(INSTRUCTIONS)))
