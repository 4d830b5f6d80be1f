"""Store weights in float16 and compute in it, but for the operators that lose too much by it.

Half the bytes, for GPUs. A matrix product of float16 numbers is summed in float32 there, and each
result is rounded to 11 bits. What stays in float32 was chosen by measurement
(docs/decisions/float16.md): norms and softmax, whose kernels are float32 inside; sums over all
pixels, which leave float16's range (65,504); what is made of those sums; the statistics behind the
score; and Noiseprint++, whose published weights amplify rounding. Inputs and outputs stay float32.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ExportError
from trufor_onnx.export.graph.provenance import GraphProvenance, initializer_array

if TYPE_CHECKING:
    import onnx_ir as ir

NAME = "float16"
LARGEST = float(np.finfo(np.float16).max)
KEPT_OPERATORS = frozenset(
    (
        *("LayerNormalization", "Softmax", "ReduceMean", "ReduceSum", "ReduceMax"),
        *("Exp", "Log", "Softplus", "Sigmoid"),
    )
)
# Parts of node names: the channel weights and the contexts are made of sums over all pixels.
KEPT_SCOPES = ("/channel_weights/", "/cross_attn/", "/detection/", "/dncnn/")
# Weights of nodes that compute in float32 are stored in float16 all the same, from this size on:
# elsewhere the numbers that are computed with are what leaves float16, not the weights.
STORED_FROM = 65536  # elements
STORED_SCOPES = ("channel_weights",)


def apply(model: ir.Model, provenance: GraphProvenance) -> int:
    """Convert the graph in place. Returns how many nodes compute in float16.

    Raises:
        ExportError: a weight is too large for float16.
    """
    import onnx_ir as ir
    from onnx_ir.passes.common import ShapeInferencePass

    ShapeInferencePass()(model)
    chosen = half_nodes(model)
    outputs = list(model.graph.outputs)
    casts: dict[tuple[int, bool], ir.Value] = {}
    for node in list(model.graph):
        half = id(node) in chosen
        for index, value in enumerate(node.inputs):
            if value is None or not _is_float(value):
                continue
            if value.is_initializer():
                if half:
                    node.replace_input_with(index, _rounded(model, provenance, value))
                elif _stored_in_half(value):
                    twin = _rounded(model, provenance, value)
                    node.replace_input_with(index, _cast(model, twin, to_half=False))
            elif half != _from_half(value, chosen):
                key = (id(value), half)
                if key not in casts:
                    casts[key] = _cast(model, value, to_half=half)
                node.replace_input_with(index, casts[key])
    for index, output in enumerate(outputs):
        if _from_half(output, chosen):
            _restore_output(model, index, output)
    for node in chosen.values():
        for output in node.outputs:
            output.type = ir.TensorType(ir.DataType.FLOAT16)
    provenance.forget_unused(model)
    return len(chosen)


def half_nodes(
    model: ir.Model,
    operators: Collection[str] = KEPT_OPERATORS,
    scopes: Collection[str] = KEPT_SCOPES,
    *,
    statements: bool = True,
) -> dict[int, ir.Node]:
    """The nodes that compute in float16, by identity.

    Args:
        model: a graph whose values have types.
        operators: kept in float32.
        scopes: parts of names of nodes kept in float32.
        statements: keep the network's own statements in float32, too, but for transpositions.
    """
    return {
        id(node): node
        for node in model.graph
        if node.op_type not in {*operators, "Cast", "Constant", "ConstantOfShape", "Resize"}
        and (not statements or node.op_type == "Transpose" or _in_a_module(str(node.name)))
        and not any(scope in str(node.name) for scope in scopes)
        and all(_is_float(output) for output in node.outputs)
    }


def _in_a_module(name: str) -> bool:
    """Whether a node is of a layer, and not of the network's own statements.

    Those normalise the image and make the answers: quotients of sums over all pixels, which
    leave float16 from 256 x 256 on.
    """
    return "/" in name.strip("/")


def rounded(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.float16]:
    """An array in float16.

    Raises:
        ExportError: a number is beyond float16's range.
    """
    worst = float(np.abs(array).max(initial=0.0))
    if not worst <= LARGEST:
        raise ExportError(
            f"{name} holds {worst:.3g}, beyond float16's largest number ({LARGEST:.0f})",
            hint="these weights need float32: --variant portable, or ort",
        )
    return array.astype(np.float16)


def _is_float(value: ir.Value) -> bool:
    import onnx_ir as ir

    return value.dtype == ir.DataType.FLOAT


def _stored_in_half(value: ir.Value) -> bool:
    large = initializer_array(value).size >= STORED_FROM
    return large and any(scope in str(value.name) for scope in STORED_SCOPES)


def _from_half(value: ir.Value, chosen: dict[int, ir.Node]) -> bool:
    producer = value.producer()
    return producer is not None and id(producer) in chosen


def _rounded(model: ir.Model, provenance: GraphProvenance, value: ir.Value) -> ir.Value:
    """The float16 twin of an initializer, made where there is none yet."""
    name, of = f"{value.name}.float16", str(value.name)
    if name in model.graph.initializers:
        return model.graph.initializers[name]
    parents = [of] if of in provenance.origins else []
    return provenance.add(model, name, rounded(initializer_array(value), of), NAME, *parents)


def _cast(model: ir.Model, value: ir.Value, *, to_half: bool) -> ir.Value:
    """A new node behind ``value`` that converts it. Returns its output."""
    import onnx_ir as ir

    kind = ir.DataType.FLOAT16 if to_half else ir.DataType.FLOAT
    name = f"{value.name}.{'half' if to_half else 'float'}"
    node = ir.node("Cast", [value], attributes={"to": int(kind)}, name=f"cast_{name}")
    node.outputs[0].name = name
    node.outputs[0].type = ir.TensorType(kind)
    producer = value.producer()
    if producer is None:
        model.graph.insert_before(model.graph[0], node)
    else:
        model.graph.insert_after(producer, node)
    return node.outputs[0]


def _restore_output(model: ir.Model, index: int, output: ir.Value) -> None:
    """Let a graph output that is float16 now be float32 again, under its name."""
    import onnx_ir as ir

    name, shape = output.name, output.shape
    output.name = f"{name}.half"
    restored = _cast(model, output, to_half=False)
    restored.name, restored.shape = name, shape
    restored.type = ir.TensorType(ir.DataType.FLOAT)
    model.graph.outputs[index] = restored
