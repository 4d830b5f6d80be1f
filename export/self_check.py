"""A finished graph is run once against the network it was made of, at shapes it was not traced at.

This is not the parity harness: it only refuses a graph that a traced constant or a lost operator
made wrong, before such a file exists.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from export.errors import ExportError
from export.foreign import foreign, out_of_memory
from export.registry import TIMM_PREFIX
from export.spec import ModelSpec
from export.to_onnx import example_inputs, network_outputs

if TYPE_CHECKING:
    import torch

# A traced constant or a swapped operator moves outputs by 1e-2 of their range and more; rounding
# moves them by 1e-5 (design/networks.md, "Golden outputs").
WORST_RELATIVE = 1e-3
# Weights that amplify rounding (stand-in weights in timm's ghostnet: 30 times torch's own error)
# get this much of torch's own distance to float64, as long as a wrong graph would still be seen.
AMPLIFICATION = 100.0
WORST_AMPLIFIED = 0.05
LEAST_TRIED = (32, 48, 64, 96, 128, 192, 256, 384, 512)  # pixels, to find what a network takes
STEPS_TRIED = (2, 4, 8, 16, 32, 64)
HINT = "the file was not written; please report this with the command you ran"

Array = npt.NDArray[Any]


def self_check(
    data: bytes, spec: ModelSpec, module: torch.nn.Module, *, worst: float = WORST_RELATIVE
) -> None:
    """Compare ONNX Runtime with torch in float32, where sizes are free at two untraced shapes.

    Args:
        data: the ONNX file's bytes.
        spec: the network.
        module: the network with the weights that the file should hold.
        worst: the worst difference allowed, as a share of an output's range.

    Raises:
        ExportError: ONNX Runtime cannot run the graph; or an output has another shape, is not
            finite, or is far from the network's.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised; the log would say it twice
    options.intra_op_num_threads = 1
    # Packing weights for speed would only cost memory here.
    options.add_session_config_entry("session.disable_prepacking", "1")
    loading = f"{spec.name}: ONNX Runtime cannot load the graph: it"
    with foreign(loading, hint=f"try another --opset; {HINT}"):
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    for batch, size in _shapes(spec):
        where = f"{spec.name} at batch {batch}, size {size[0]} x {size[1]}"
        inputs = example_inputs(spec, batch=batch, size=size)
        feeds = {t.name: x.numpy() for t, x in zip(spec.inputs, inputs, strict=True)}
        try:
            expected = _run(spec, module, inputs)
        except ExportError as error:
            hint = error.hint if out_of_memory(error) else _size_hint(spec, module)
            raise ExportError(f"at batch {batch}: {error.problem}", hint=hint) from error
        running = (
            f"{where}: the graph does not run, a size of the traced example is fixed in it: it"
        )
        with foreign(running, hint=_fix_hint(spec)):
            found = session.run([tensor.name for tensor in spec.outputs], feeds)
        if _suspicious(spec, where, expected, found, worst):
            exact = _run(spec, module.double(), tuple(x.double() for x in inputs))
            module.float()
            _judge(spec, where, exact, expected, found, worst)


def _shapes(spec: ModelSpec) -> list[tuple[int, tuple[int, int]]]:
    """Batch and size of each run: none is the traced one, where they are free."""
    if spec.fixed_size:
        return [(1, spec.fixed_size), (3, spec.fixed_size)]
    least = max(spec.least_size, 24)
    return [(1, (least + 45, least + 1)), (3, (least, least))]


def _run(spec: ModelSpec, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> list[Array]:
    return [tensor.numpy() for tensor in network_outputs(spec, module, inputs)]


def _size_hint(spec: ModelSpec, module: torch.nn.Module) -> str:
    """Which sizes a network takes that does not run at all that its spec allows: tried out."""
    if spec.fixed_size:
        return "its spec's fixed_size is none that it takes"

    def runs(batch: int, size: tuple[int, int]) -> bool:
        try:
            _run(spec, module, example_inputs(spec, batch=batch, size=size))
        except ExportError:
            return False
        return True

    def takes(least: int) -> bool:
        return all(runs(*shape) for shape in _shapes(replace(spec, least_size=least)))

    enough = next((least for least in LEAST_TRIED if takes(least)), 0)
    if enough:
        below = max((least for least in LEAST_TRIED if least < enough), default=spec.least_size)
        while enough - below > 1:
            middle = (below + enough) // 2
            below, enough = (below, middle) if takes(middle) else (middle, enough)
        return f"the least size at which it runs is {enough}: say least_size={enough} in its spec"
    for step in STEPS_TRIED:
        if all(runs(1, (step * n, step * (n + 1))) for n in range(64 // step + 1, 64 // step + 5)):
            return (
                f"it runs where sides are multiples of {step} only: let its forward pad them, or "
                "say fixed_size=(HEIGHT, WIDTH) in its spec"
            )
    height, width = spec.trace_size
    return f"if it runs at one size only, say fixed_size=({height}, {width}) in its spec"


def _suspicious(
    spec: ModelSpec, where: str, expected: list[Array], found: list[Array], worst: float
) -> bool:
    """Whether any output is further from torch's than rounding usually is, or is NaN.

    Raises:
        ExportError: an output has another shape.
    """
    far = False
    for tensor, reference, candidate in zip(spec.outputs, expected, found, strict=True):
        if reference.shape != candidate.shape:
            raise ExportError(
                f"{where}, output {tensor.name}: shape {candidate.shape}, not {reference.shape}",
                hint=_fix_hint(spec),
            )
        distance = _distance(spec, tensor.name, candidate, reference)
        far = far or not distance <= worst  # NaN ends here too
    return far


def _judge(
    spec: ModelSpec,
    where: str,
    exact: list[Array],
    source: list[Array],
    found: list[Array],
    limit: float,
) -> None:
    """Is every output's distance to float64 what rounding explains, going by torch's own?"""
    for tensor, *arrays in zip(spec.outputs, exact, source, found, strict=True):
        reference, own, candidate = arrays
        least = _distance(spec, tensor.name, own, reference)
        if not least <= WORST_AMPLIFIED:
            raise ExportError(
                f"{where}, output {tensor.name}: cannot be checked, in torch itself float32 is "
                f"off by {least:.2g} of its range",
                hint="these weights amplify rounding beyond use; export with trained ones",
            )
        allowed = min(max(limit, AMPLIFICATION * least), max(limit, WORST_AMPLIFIED))
        worst = _distance(spec, tensor.name, candidate, reference)
        if not worst <= allowed:
            raise ExportError(
                f"{where}, output {tensor.name}: off by {worst:.2g} of its range (at most "
                f"{allowed:.2g})",
                hint=_fix_hint(spec),
            )


def _distance(spec: ModelSpec, output: str, candidate: Array, reference: Array) -> float:
    """The worst difference as a share of the output's range; NaN where there is one."""
    answer = output in (spec.judged.score, *spec.judged.maps)  # in 0..1: that is its range
    scale = 1.0 if answer else float(np.abs(reference).max()) or 1.0
    return float(np.abs(candidate - reference).max()) / scale


def _fix_hint(spec: ModelSpec) -> str:
    if spec.fixed_size is None and spec.name.startswith(TIMM_PREFIX):
        height, width = spec.trace_size
        return f"let its size be fixed: {spec.name}@{height}x{width}"
    return HINT
