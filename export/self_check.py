"""A finished graph is run once against the network it was made of, at shapes it was not traced at.

This is not the parity harness: it only refuses a graph that a traced constant or a lost operator
made wrong, before such a file exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.errors import ExportError
from export.spec import ModelSpec
from export.to_onnx import example_inputs

if TYPE_CHECKING:
    import onnx
    import torch

# A traced constant or a swapped operator moves outputs by 1e-2 of their range and more; rounding
# moves them by 1e-5 (design/networks.md, "Golden outputs").
WORST_RELATIVE = 1e-3


def self_check(proto: onnx.ModelProto, spec: ModelSpec, module: torch.nn.Module) -> None:
    """Compare ONNX Runtime with torch in float32 at two shapes other than the traced one.

    Raises:
        ExportError: an output has another shape, is not finite, or is far from the network's.
    """
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    least = max(spec.least_size, 24)
    shapes = (
        [(1, spec.fixed_size)]
        if spec.fixed_size
        else [(1, (least + 45, least + 1)), (3, (least, least))]
    )
    for batch, size in shapes:
        inputs = example_inputs(spec, batch=batch, size=size)
        feeds = {t.name: x.numpy() for t, x in zip(spec.inputs, inputs, strict=True)}
        with torch.inference_mode():
            outputs = module(*inputs)
        expected = (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
        found = session.run([tensor.name for tensor in spec.outputs], feeds)
        for tensor, reference, candidate in zip(spec.outputs, expected, found, strict=True):
            _compare(spec, tensor.name, reference.numpy(), np.asarray(candidate), batch, size)


def _compare(
    spec: ModelSpec,
    output: str,
    reference: np.ndarray,
    candidate: np.ndarray,
    batch: int,
    size: tuple[int, int] | None,
) -> None:
    where = f"{spec.name}: output {output} at batch {batch}, size {size}"
    hint = "the file was not written; please report this with the command you ran"
    if reference.shape != candidate.shape:
        raise ExportError(f"{where}: shape {candidate.shape}, not {reference.shape}", hint=hint)
    scale = float(np.abs(reference).max()) or 1.0
    worst = float(np.abs(candidate - reference).max()) / scale
    if not worst <= WORST_RELATIVE:  # NaN ends here too
        raise ExportError(
            f"{where}: off by {worst:.2g} of its range (at most {WORST_RELATIVE:g})", hint=hint
        )
