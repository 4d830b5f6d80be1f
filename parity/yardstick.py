"""Choose the PyTorch float32 that candidates are measured against, and say which it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from export.spec import ModelSpec
from export.weights import Weights
from parity.errors import ParityError
from parity.metrics import mean_absolute_error
from parity.runners.base import Feeds, Outputs
from parity.runners.torch_runner import NATIVE, ONEDNN, TorchRunner

# oneDNN is what users run; it is left only where it is clearly the worse of PyTorch's kernels.
CLEARLY_WORSE = 1.5


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

        return {
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
