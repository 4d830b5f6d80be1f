"""A file computed in float64, by onnx's reference implementation.

A file whose graph and weights are the network's is right in float64, however ONNX Runtime's kernels
round; a wrong one is as wrong there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx

DOMAIN = "com.microsoft"
GIVEN = {"num_heads", "scale"}  # attributes of an attention that are known here
erf = np.vectorize(math.erf, otypes=[np.float64])
MOST_VALUES = 3 * 256 * 256  # of an input: onnx's own implementation is slow, and takes memory
LARGEST_FILE = 1 << 30  # bytes
STEP = 8  # nodes whose results are kept at once
FLOAT, FLOAT16, DOUBLE, BFLOAT16 = 1, 10, 11, 16  # of onnx.proto
NARROW = (FLOAT, FLOAT16, BFLOAT16)
Feeds = Mapping[str, npt.NDArray[Any]]
Outputs = dict[str, npt.NDArray[Any]]


def gelu(x: Any) -> Any:
    """``x * P(X <= x)`` of a normal X, without the approximation by tanh."""
    return (x * 0.5 * (1.0 + erf(x * math.sqrt(0.5)))).astype(x.dtype)


def attention(query: Any, key: Any, value: Any, *, heads: int, scale: float = 0.0) -> Any:
    """``softmax(scale * q k^T) v`` of each head.

    Args:
        query: (B, N, C).
        key: (B, M, C).
        value: (B, M, C).
        heads: how many heads the channels are of.
        scale: of the products; where 0, one over the root of a head's channels.
    """
    queries, keys, values = (
        given.reshape(*given.shape[:2], heads, -1).transpose(0, 2, 1, 3)
        for given in (query, key, value)
    )
    scores = queries @ keys.transpose(0, 1, 3, 2) * (scale or queries.shape[-1] ** -0.5)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    return (shares @ values).transpose(0, 2, 1, 3).reshape(query.shape).astype(query.dtype)


@cache
def operators() -> tuple[Any, ...]:
    """What onnx's reference implementation is to know beside its own operators."""
    from onnx.reference.op_run import OpRun

    class Gelu(OpRun):
        op_domain = DOMAIN

        def _run(self, x: Any, **_: Any) -> tuple[Any]:
            if self.onnx_node.attribute:
                raise NotImplementedError("another function than the exporter's")
            return (gelu(x),)

    class MultiHeadAttention(OpRun):
        op_domain = DOMAIN

        def _run(self, query: Any, key: Any, value: Any, *others: Any, **_: Any) -> tuple[Any]:
            given = {one.name: one for one in self.onnx_node.attribute}
            whole = query.ndim == key.ndim == value.ndim == 3
            if not whole or set(given) - GIVEN or any(other is not None for other in others):
                raise NotImplementedError("an attention of another form than the exporter's")
            scale = given["scale"].f if "scale" in given else 0.0
            return (attention(query, key, value, heads=given["num_heads"].i, scale=scale),)

    return Gelu, MultiHeadAttention


def too_many(feeds: Feeds, most: int | None = None) -> bool:
    """Whether an input is too large for `in_float64`."""
    return max(array.size for array in feeds.values()) > (MOST_VALUES if most is None else most)


def in_float64(file: bytes | Path, feeds: Feeds, most: int | None = None) -> Outputs | None:
    """A file's outputs with every floating number in float64.

    None where that cannot be done: no onnx, more than ``most`` numbers in an input (`MOST_VALUES`
    where that is None), an operator that neither onnx's reference implementation nor
    `export.graph.in_float64` has.
    """
    try:
        import onnx
    except ImportError:
        return None
    size = file.stat().st_size if isinstance(file, Path) else len(file)
    if too_many(feeds, most) or size > LARGEST_FILE:
        return None
    model = onnx.load(file) if isinstance(file, Path) else onnx.load_from_string(file)
    _widen(model.graph)
    for function in model.functions:
        _widen_nodes(function.node)
    wide = {
        name: array.astype(np.float64) if np.issubdtype(array.dtype, np.floating) else array
        for name, array in feeds.items()
    }
    try:
        with np.errstate(all="ignore"):  # what comes of it is measured, and NaN clears nothing
            return _computed(model, wide)
    except (
        *(NotImplementedError, RuntimeError, ValueError, TypeError, KeyError, IndexError),
        *(AttributeError, ArithmeticError, MemoryError),
    ):  # onnx's implementations raise what numpy does; then there is no witness
        return None


def _computed(model: onnx.ModelProto, feeds: Mapping[str, Any]) -> Outputs:
    """The outputs by onnx's reference implementation, a few nodes at a time.

    It keeps every result to the end of a run, 8 GB at 280 x 503: so each run is a short one.
    """
    import onnx
    from onnx.reference import ReferenceEvaluator

    graph = model.graph
    if graph.sparse_initializer:
        raise NotImplementedError("sparse weights")
    outputs = [output.name for output in graph.output]
    parts = [graph.node[first : first + STEP] for first in range(0, len(graph.node), STEP)]
    later, needed = set(outputs), []
    for part in reversed(parts):
        needed.append(set(later))
        later |= set(_read(part))
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept: dict[str, Any] = weights | dict(feeds)
    del weights
    for part, wanted in zip(parts, reversed(needed), strict=True):
        given = {name: kept[name] for name in _read(part) if name in kept}
        made = [name for node in part for name in node.output if name in wanted]
        ends = [[onnx.ValueInfoProto(name=name) for name in names] for names in (given, made)]
        piece = onnx.ModelProto(ir_version=model.ir_version)
        piece.opset_import.extend(model.opset_import)
        piece.functions.extend(model.functions)
        piece.graph.CopyFrom(onnx.GraphProto(name="part", node=part, input=ends[0], output=ends[1]))
        found = ReferenceEvaluator(piece, new_ops=list(operators())).run(made, given)
        kept.update(zip(made, found, strict=True))
        kept = {name: array for name, array in kept.items() if name in wanted}
    return {name: np.asarray(kept[name]) for name in outputs}


def _read(nodes: Any) -> Iterator[str]:
    """The names that nodes read, and those that their subgraphs do, which may be from outside."""
    import onnx

    for node in nodes:
        yield from filter(None, node.input)  # "" stands for an input that is left out
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _read(attribute.g.node)
                yield from (output.name for output in attribute.g.output)


def _widen(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type in NARROW:
            value.type.tensor_type.elem_type = DOUBLE
    _widen_nodes(graph.node)


def _widen_nodes(nodes: Any) -> None:
    """Constants, subgraphs, and the types that operators are told."""
    import onnx

    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
            elif attribute.type == onnx.AttributeProto.GRAPH:
                _widen(attribute.g)
            elif attribute.name == "to" and attribute.i == FLOAT:
                attribute.i = DOUBLE  # a cast to float16 stays: that is the file's own rounding
            elif attribute.name in ("value_float", "value_floats") and node.op_type == "Constant":
                given = [attribute.f] if attribute.name == "value_float" else list(attribute.floats)
                wide = np.asarray(given, np.float32).astype(np.float64)
                wide = wide.reshape(()) if attribute.name == "value_float" else wide
                value = onnx.numpy_helper.from_array(wide)
                attribute.CopyFrom(onnx.helper.make_attribute("value", value))


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    import onnx

    if tensor.data_type in NARROW:
        wide = onnx.numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(onnx.numpy_helper.from_array(wide, tensor.name))
