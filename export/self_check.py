"""A finished graph is run once against the network it was made of, at shapes it was not traced at.

This is not the parity harness: it only refuses a graph that a traced constant or a lost operator
made wrong, before such a file exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from export.errors import ExportError
from export.spec import ModelSpec
from export.threads import one_torch_thread
from export.to_onnx import example_inputs

if TYPE_CHECKING:
    import torch

# A traced constant or a swapped operator moves outputs by 1e-2 of their range and more; rounding
# moves them by 1e-5 (design/networks.md, "Golden outputs").
WORST_RELATIVE = 1e-3
HINT = "the file was not written; please report this with the command you ran"


def self_check(data: bytes, spec: ModelSpec, module: torch.nn.Module) -> None:
    """Compare ONNX Runtime with torch in float32, where sizes are free at two untraced shapes.

    Args:
        data: the ONNX file's bytes.
        spec: the network.
        module: the network with the weights that the file should hold.

    Raises:
        ExportError: ONNX Runtime cannot run the graph; or an output has another shape, is not
            finite, or is far from the network's.
    """
    import onnxruntime
    import torch

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
            f"{spec.name}: ONNX Runtime cannot load the graph ({_first_line(error)})",
            hint=f"try another --opset; {HINT}",
        ) from error
    names = [tensor.name for tensor in spec.outputs]
    for batch, size in _shapes(spec):
        where = f"{spec.name} at batch {batch}, size {size[0]} x {size[1]}"
        inputs = example_inputs(spec, batch=batch, size=size)
        feeds = {t.name: x.numpy() for t, x in zip(spec.inputs, inputs, strict=True)}
        with torch.inference_mode(), one_torch_thread():
            outputs = module(*inputs)
        expected = (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
        try:
            found = session.run(names, feeds)
        except (refused.Fail, refused.RuntimeException, refused.InvalidArgument) as error:
            raise ExportError(
                f"{where}: the graph does not run ({_first_line(error)}); a size of the traced "
                "example is probably fixed in it",
                hint=HINT,
            ) from error
        for name, reference, candidate in zip(names, expected, found, strict=True):
            _compare(f"{where}, output {name}", reference.numpy(), np.asarray(candidate))


def _shapes(spec: ModelSpec) -> list[tuple[int, tuple[int, int]]]:
    """Batch and size of each run: none is the traced one, where they are free."""
    if spec.fixed_size:
        return [(1, spec.fixed_size), (3, spec.fixed_size)]
    least = max(spec.least_size, 24)
    return [(1, (least + 45, least + 1)), (3, (least, least))]


def _compare(where: str, reference: npt.NDArray[Any], candidate: npt.NDArray[Any]) -> None:
    if reference.shape != candidate.shape:
        raise ExportError(f"{where}: shape {candidate.shape}, not {reference.shape}", hint=HINT)
    scale = float(np.abs(reference).max()) or 1.0
    worst = float(np.abs(candidate - reference).max()) / scale
    if not worst <= WORST_RELATIVE:  # NaN ends here too
        raise ExportError(
            f"{where}: off by {worst:.2g} of its range (at most {WORST_RELATIVE:g})", hint=HINT
        )


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]
