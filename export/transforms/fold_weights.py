"""Compute once, in float64, what depends on weights only; round once.

A rewritten network (`export.models.ort`) writes its derived weights out: slices, transpositions,
products of two layers' matrices. The trace records them as nodes that read initializers only. Here
each becomes an initializer, derived from the checkpoint's tensors by this transform.

Matrix products are summed in one fixed order: a product of two float32 numbers is exact in
float64, and each sum is rounded as IEEE 754 says, so every machine gets the same bits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ExportError
from trufor_onnx.export.graph.provenance import GraphProvenance, initializer_array
from trufor_onnx.export.transforms.fold_batchnorm import exact_decimal

if TYPE_CHECKING:
    import onnx_ir as ir

NAME = "fold_weights"
Array = npt.NDArray[Any]


class _KnownFactor(NamedTuple):
    """A value, in float64 where it is a float, and the weights that it is made of."""

    array: Array
    parents: tuple[str, ...]


def apply(model: ir.Model, provenance: GraphProvenance) -> int:
    """Fold every node that reads weights and constants only. Returns how many nodes went.

    Raises:
        ExportError: a derived weight is no finite float32.
    """
    known: dict[str, _KnownFactor] = {}
    for name, value in model.graph.initializers.items():
        array = initializer_array(value)
        wide = array.astype(np.float64) if array.dtype == np.float32 else array
        known[name] = _KnownFactor(wide, (name,) if name in provenance.origins else ())
    folded: list[ir.Node] = []
    for node in model.graph:
        names = [str(v.name) for v in node.inputs if v is not None]
        compute = OPERATORS.get(node.op_type) if not node.domain else None
        if compute is None or any(name not in known for name in names):
            continue
        inputs = [known[str(v.name)].array if v is not None else None for v in node.inputs]
        parents = tuple(dict.fromkeys(p for name in names for p in known[name].parents))
        for output, result in zip(node.outputs, compute(node, *inputs), strict=True):
            known[str(output.name)] = _KnownFactor(result, parents)
        folded.append(node)
    return _replace(model, provenance, folded, known)


def _replace(
    model: ir.Model,
    provenance: GraphProvenance,
    folded: list[ir.Node],
    known: dict[str, _KnownFactor],
) -> int:
    """Put initializers where folded nodes fed others, and take the nodes out."""
    import onnx_ir as ir

    gone = {id(node) for node in folded}
    removed = 0
    for node in folded:
        if not any(known[str(output.name)].parents for output in node.outputs):
            gone.discard(id(node))  # constants alone: left to the simplifier
            continue
        for output in node.outputs:
            readers = [use.node for use in output.uses()]
            if output.is_graph_output() or any(id(reader) not in gone for reader in readers):
                value = _initializer(model, provenance, known[str(output.name)])
                ir.convenience.replace_all_uses_with(output, value)
    for node in reversed(folded):
        if id(node) in gone:
            model.graph.remove(node, safe=True)
            removed += 1
    provenance.forget_unused(model)
    return removed


def _initializer(model: ir.Model, provenance: GraphProvenance, derived: _KnownFactor) -> ir.Value:
    """A derived weight, named after the first tensor that it was made of."""
    array, origins = derived.array, derived.parents
    if array.dtype == np.float64:
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise ExportError(
                f"a weight made of {', '.join(origins[:4])} is no finite float32",
                hint="a variance in the checkpoint is negative or next to zero; is it damaged?",
            )
    names = (f"{origins[0]}.folded{n or ''}" for n in itertools.count())
    name = next(name for name in names if name not in model.graph.initializers)
    return provenance.add(model, name, array, NAME, *origins)


def _constant(node: ir.Node) -> tuple[Array, ...]:
    array = node.attributes["value"].as_tensor().numpy()
    if array.dtype != np.float32:
        return (array,)
    decimals = [exact_decimal(number) for number in array.reshape(-1)]
    return (np.asarray(decimals, np.float64).reshape(array.shape),)


def _slice(_: ir.Node, data: Array, *bounds: Array) -> tuple[Array, ...]:
    starts, ends = (bound.tolist() for bound in bounds[:2])
    axes = bounds[2].tolist() if len(bounds) > 2 else range(len(starts))
    steps = bounds[3].tolist() if len(bounds) > 3 else [1] * len(starts)
    index = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(start, end, step)
    return (data[tuple(index)],)


def _split(node: ir.Node, data: Array, sizes: Array | None = None) -> tuple[Array, ...]:
    parts = len(node.outputs)
    axis = node.attributes.get_int("axis", 0)
    where = np.cumsum(sizes)[:-1].tolist() if sizes is not None else parts
    return tuple(np.split(data, where, axis))


def _matmul(_: ir.Node, left: Array, right: Array) -> tuple[Array, ...]:
    """The product of two matrices (or a matrix and a vector), summed from the first term on."""
    rows = left.reshape(-1, left.shape[-1])
    columns = right.reshape(right.shape[0], -1)
    product = np.zeros((rows.shape[0], columns.shape[1]))
    for k in range(rows.shape[1]):
        product += rows[:, k, None] * columns[k]
    return (product.reshape(*left.shape[:-1], *right.shape[1:]),)


def _transpose(node: ir.Node, data: Array) -> tuple[Array, ...]:
    default = tuple(reversed(range(data.ndim)))
    return (data.transpose(node.attributes.get_ints("perm", default)),)


OPERATORS: dict[str, Callable[..., tuple[Array, ...]]] = {
    "Add": lambda _, x, y: (x + y,),
    "Concat": lambda node, *parts: (np.concatenate(parts, node.attributes["axis"].as_int()),),
    "Constant": _constant,
    "Div": lambda _, x, y: (x / y,),
    "Gather": lambda node, x, index: (np.take(x, index, node.attributes.get_int("axis", 0)),),
    "Identity": lambda _, x: (x,),
    "MatMul": _matmul,
    "Mul": lambda _, x, y: (x * y,),
    "Reshape": lambda _, x, shape: (x.reshape(shape.tolist()),),
    "Slice": _slice,
    "Split": _split,
    "Sqrt": lambda _, x: (np.sqrt(x),),
    "Squeeze": lambda _, x, axes: (np.squeeze(x, tuple(axes.tolist())),),
    "Sub": lambda _, x, y: (x - y,),
    "Transpose": _transpose,
    "Unsqueeze": lambda _, x, axes: (np.expand_dims(x, tuple(axes.tolist())),),
}
