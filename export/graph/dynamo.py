"""The other exporter: from a torch network to an ONNX graph without weights, by ``torch.export``.

It takes what torch's tracer does not: Fourier transforms, RMSNorm, attention with cached masks and
other operators that only its decompositions know. It is slower, and needs onnxscript. What it gives
goes the same way as a traced graph: weights by name, the same proof, the same self-check.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from trufor_onnx.errors import ExportError
from trufor_onnx.export.foreign import foreign
from trufor_onnx.export.graph.trace import (
    example_inputs,
    flat_outputs,
    one_torch_thread,
)
from trufor_onnx.export.networks.spec import ModelSpec

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir
    import torch

LEAST_OPSET = 18  # the oldest that its operators are written in


def trace_dynamo(spec: ModelSpec, module: torch.nn.Module, opset: int) -> onnx.ModelProto:
    """The network's graph; its weights are graph inputs named as in ``state_dict()``.

    Args:
        spec: the network's inputs and outputs.
        module: the network, in evaluation mode.
        opset: 18 or newer.

    Raises:
        ExportError: onnxscript is missing, the opset is too old, or the network cannot be exported.
    """
    import torch

    if find_spec("onnxscript") is None:
        raise ExportError(
            "--exporter dynamo needs onnxscript, which is not installed",
            hint="pip install 'trufor-onnx[dynamo]'",
        )
    if opset < LEAST_OPSET:
        raise ExportError(
            f"--exporter dynamo writes opset {LEAST_OPSET} or newer, not {opset}",
            hint=f"--opset {LEAST_OPSET}",
        )
    import onnx_ir as ir
    import onnxscript.optimizer

    what = f"{spec.name}: the network cannot be exported by torch.export, which"
    with (
        foreign(what, hint="--exporter tracer takes another way through the network"),
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),  # its progress
        one_torch_thread(),
        torch.no_grad(),
        flat_outputs(spec, module),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            example_inputs(spec),
            dynamo=True,
            opset_version=opset,
            input_names=[tensor.name for tensor in spec.inputs],
            output_names=[tensor.name for tensor in spec.outputs],
            dynamic_shapes=_dynamic_shapes(spec),
            external_data=False,
            optimize=False,
            verbose=False,
        )
        assert program is not None
        model = _without_weights(program.model, set(module.state_dict()))
        # Only now: what is folded and merged before is folded and merged by its values.
        onnxscript.optimizer.optimize(model)
        return ir.to_proto(model)


def _dynamic_shapes(spec: ModelSpec) -> tuple[dict[int, Any], ...]:
    """Free axes; those of one name have one size."""
    import torch

    dims = dict.fromkeys(spec.free_axes(), torch.export.Dim.DYNAMIC)
    return tuple(
        {place: dims[axis] for place, axis in tensor.dynamic_axes.items()} for tensor in spec.inputs
    )


def _without_weights(model: ir.Model, names: set[str]) -> ir.Model:
    """Initializers that are the network's tensors become graph inputs, as after a trace."""
    for name in [name for name in model.graph.initializers if name in names]:
        value = model.graph.initializers.pop(name)
        value.const_value = None
        model.graph.inputs.append(value)
    return model
