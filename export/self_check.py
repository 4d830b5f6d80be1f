"""A finished graph is run once against the network it was made of, at shapes it was not traced at.

This is not the parity harness: it only refuses a graph that a traced constant or a lost operator
made wrong, before such a file exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from chunking.errors import first_line
from export.errors import ExportError
from export.registry import TIMM_PREFIX
from export.spec import ModelSpec
from export.threads import one_torch_thread
from export.to_onnx import example_inputs

if TYPE_CHECKING:
    import torch

# A traced constant or a swapped operator moves outputs by 1e-2 of their range and more; rounding
# moves them by 1e-5 (design/networks.md, "Golden outputs").
WORST_RELATIVE = 1e-3
# Weights that amplify rounding (stand-in weights in timm's ghostnet: 30 times torch's own error)
# get this much of torch's own distance to float64, as long as a wrong graph would still be seen.
AMPLIFICATION = 100.0
WORST_AMPLIFIED = 0.05
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

    refused = onnxruntime.capi.onnxruntime_pybind11_state
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised; the log would say it twice
    options.intra_op_num_threads = 1
    # Packing weights for speed would only cost memory here.
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except (refused.Fail, refused.InvalidGraph, refused.NotImplemented) as error:
        raise ExportError(
            f"{spec.name}: ONNX Runtime cannot load the graph ({first_line(error)})",
            hint=f"try another --opset; {HINT}",
        ) from error
    for batch, size in _shapes(spec):
        where = f"{spec.name} at batch {batch}, size {size[0]} x {size[1]}"
        inputs = example_inputs(spec, batch=batch, size=size)
        feeds = {t.name: x.numpy() for t, x in zip(spec.inputs, inputs, strict=True)}
        expected = _run(module, inputs)
        try:
            found = session.run([tensor.name for tensor in spec.outputs], feeds)
        except (refused.Fail, refused.RuntimeException, refused.InvalidArgument) as error:
            raise ExportError(
                f"{where}: the graph does not run ({first_line(error)}); a size of the traced "
                "example is fixed in it",
                hint=_fix_hint(spec),
            ) from error
        if _suspicious(spec, where, expected, found, worst):
            exact = _run(module.double(), tuple(x.double() for x in inputs))
            module.float()
            _judge(spec, where, exact, expected, found, worst)


def _shapes(spec: ModelSpec) -> list[tuple[int, tuple[int, int]]]:
    """Batch and size of each run: none is the traced one, where they are free."""
    if spec.fixed_size:
        return [(1, spec.fixed_size), (3, spec.fixed_size)]
    least = max(spec.least_size, 24)
    return [(1, (least + 45, least + 1)), (3, (least, least))]


def _run(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> list[Array]:
    import torch

    with torch.inference_mode(), one_torch_thread():
        outputs = module(*inputs)
    return [t.numpy() for t in ((outputs,) if isinstance(outputs, torch.Tensor) else outputs)]


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
