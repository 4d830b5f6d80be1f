"""Fold BatchNorm into the convolutions before it, in float64, rounded once.

In evaluation mode BatchNorm is ``y = s * x + t`` a channel, with ``s = weight / sqrt(var + eps)``
and ``t = bias - mean * s``. A convolution takes both in: ``W' = s * W``, ``b' = s * b + t``. A sum
of convolutions does too: each is scaled, the first one takes the shift. Several BatchNorms that
end in one convolution are all folded before the one rounding to float32. Measured with the
published Noiseprint++ weights, this brings ONNX Runtime *nearer* to the float64 network than
PyTorch float32 is (docs/decisions/fold-batchnorm.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ExportError
from trufor_onnx.export.graph.provenance import GraphProvenance, initializer_array

if TYPE_CHECKING:
    import onnx_ir as ir

NAME = "fold_batchnorm"
Float64 = npt.NDArray[np.float64]


@dataclass
class _Folded:
    """A convolution's weight and bias while BatchNorms are folded into them."""

    node: ir.Node
    weight: Float64
    bias: Float64
    weight_parents: list[str]
    bias_parents: list[str]


def apply(model: ir.Model, provenance: GraphProvenance) -> int:
    """Fold every BatchNorm that follows convolutions or sums of them. Returns how many.

    Left as they are: one that follows anything else, whose input is read elsewhere too, that is
    in training mode, or whose parameters or weights are not float32 tensors of known origin.

    Raises:
        ExportError: a folded weight is no finite float32.
    """
    pending: dict[int, _Folded] = {}
    count = 0
    for node in list(model.graph):
        parameters = _parameters(node, provenance)
        data = node.inputs[0] if parameters else None
        convolutions = _convolutions_before(data, provenance)
        if data is None or not convolutions:
            continue
        scale, shift = _scale_and_shift(node, parameters)
        if any(_channels(convolution) != scale.size for convolution in convolutions):
            continue  # the sum repeats a channel: its one weight would need several scales
        names = [_name(value) for value in parameters]
        scaling = [names[0], names[3]]
        for index, convolution in enumerate(convolutions):
            if id(convolution) not in pending:
                pending[id(convolution)] = _start(convolution)
            folded = pending[id(convolution)]
            folded.weight *= scale.reshape(-1, *[1] * (folded.weight.ndim - 1))
            folded.bias *= scale
            folded.weight_parents += scaling
            folded.bias_parents += scaling
            if index == 0:
                folded.bias += shift
                folded.bias_parents += names
        _take_place(node.outputs[0], data)
        model.graph.remove(node, safe=True)
        count += 1
    for folded in pending.values():
        _write(model, provenance, folded)
    provenance.forget_unused(model)
    return count


def exact_decimal(rounded: float) -> float:
    """The decimal that an ONNX float attribute was written from: 9.99999974e-06 is 1e-5."""
    return float(str(np.float32(rounded)))


def _parameters(node: ir.Node, provenance: GraphProvenance) -> list[ir.Value]:
    """Weight, bias, mean and variance of a BatchNorm that can be folded; else none."""
    if node.op_type != "BatchNormalization" or node.domain:
        return []
    if node.attributes.get_int("training_mode", 0) or len(node.outputs) != 1:
        return []
    parameters = [value for value in node.inputs[1:] if value is not None]
    known = len(parameters) == 4 and all(_is_known(value, provenance) for value in parameters)
    return parameters if known else []


def _is_known(value: ir.Value, provenance: GraphProvenance) -> bool:
    """A float32 initializer of recorded origin."""
    if not value.is_initializer() or value.name not in provenance.origins:
        return False
    return bool(initializer_array(value).dtype == np.float32)


def _convolutions_before(value: ir.Value | None, provenance: GraphProvenance) -> list[ir.Node]:
    """The convolutions that ``value`` is the sum of, or none where something else is in between."""
    node = value.producer() if value is not None else None
    if value is None or node is None or len(value.uses()) != 1 or value.is_graph_output():
        return []
    if node.op_type == "Conv" and not node.domain:
        weights = [v for v in node.inputs[1:] if v is not None]
        return [node] if all(_is_known(v, provenance) for v in weights) else []
    if node.op_type == "Add" and not node.domain:
        sides = [_convolutions_before(side, provenance) for side in node.inputs]
        return [n for side in sides for n in side] if all(sides) else []
    return []


def _channels(convolution: ir.Node) -> int:
    weight = convolution.inputs[1]
    assert weight is not None  # a convolution has one
    return int(initializer_array(weight).shape[0])


def _scale_and_shift(node: ir.Node, parameters: list[ir.Value]) -> tuple[Float64, Float64]:
    weight, bias, mean, var = (initializer_array(v).astype(np.float64) for v in parameters)
    epsilon = exact_decimal(node.attributes.get_float("epsilon", 1e-5))
    with np.errstate(invalid="ignore", divide="ignore"):  # `_write` refuses what comes of it
        scale = weight / np.sqrt(var + epsilon)
    return scale, bias - mean * scale


def _take_place(output: ir.Value, data: ir.Value) -> None:
    """Let ``data`` stand for a BatchNorm's output, under its name where users know it."""
    import onnx_ir as ir

    if output.is_graph_output():
        name, output.name = output.name, f"{output.name}.unfolded"
        data.name, data.type, data.shape = name, output.type, output.shape
    ir.convenience.replace_all_uses_with(output, data, replace_graph_outputs=True)


def _start(node: ir.Node) -> _Folded:
    weight_value = node.inputs[1]
    bias_value = node.inputs[2] if len(node.inputs) > 2 else None
    assert weight_value is not None  # a convolution has one
    weight = initializer_array(weight_value).astype(np.float64)
    bias: Float64 = np.zeros(weight.shape[0])
    if bias_value is not None:
        bias = initializer_array(bias_value).astype(np.float64)
    return _Folded(
        node, weight, bias, [_name(weight_value)], [_name(bias_value)] if bias_value else []
    )


def _write(model: ir.Model, provenance: GraphProvenance, folded: _Folded) -> None:
    """Round once and give the convolution its new weight and bias."""
    weight_name = folded.weight_parents[0]
    stem = weight_name.removesuffix(".weight")
    parts = [
        (1, f"{stem}.folded_weight", folded.weight, folded.weight_parents),
        (2, f"{stem}.folded_bias", folded.bias, folded.bias_parents),
    ]
    if not folded.bias.any() and not set(folded.bias_parents) - set(folded.weight_parents):
        parts = parts[:1]  # it had no bias, and another convolution of the sum took the shift
    for index, name, array, parents in parts:
        with np.errstate(over="ignore"):
            rounded = array.astype(np.float32)
        if not np.isfinite(rounded).all():
            raise ExportError(
                f"folding BatchNorm into {weight_name} gives numbers that are no finite float32",
                hint="a variance in the checkpoint is negative or next to zero; is it damaged?",
            )
        value = provenance.add(model, name, rounded, NAME, *parents)
        if index >= len(folded.node.inputs):
            folded.node.resize_inputs(index + 1)
        folded.node.replace_input_with(index, value)


def _name(value: ir.Value) -> str:
    return str(value.name)
