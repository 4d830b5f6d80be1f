"""The same nodes in float64: is it the file that errs, or the kernel that rounds?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from parity.errors import ParityError
from parity.locate.nodes import NodeRunner

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]
MOST_ELEMENTS = 1 << 22  # that a node reads or gives; onnx's own kernels are slow
# What onnx's reference evaluator may end in on a node that it does not know in float64.
FAILS = (RuntimeError, NotImplementedError, TypeError, ValueError, LookupError, AttributeError)


def in_float64(
    proto: onnx.ModelProto, node: onnx.NodeProto, given: Mapping[str, Array]
) -> dict[str, Array] | None:
    """A node's outputs with every float32 number as float64, or None where nothing computes that.

    Args:
        proto: the model that the node is of.
        node: the node.
        given: what it reads, float32 or float64.
    """
    import onnx
    from onnx.reference import ReferenceEvaluator

    wide = {n: a.astype(np.float64) if a.dtype == np.float32 else a for n, a in given.items()}
    if any(array.size > MOST_ELEMENTS for array in wide.values()):
        return None
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for attribute in copy.attribute:
        if attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT:
            attribute.i = onnx.TensorProto.DOUBLE
    names = [name for name in copy.output if name]
    try:
        return NodeRunner(proto, copy, {}, wide).run(wide)
    except ParityError:
        pass
    graph = onnx.helper.make_graph(
        [copy],
        "node",
        [onnx.ValueInfoProto(name=name) for name in wide],
        [onnx.ValueInfoProto(name=name) for name in names],
    )
    model = onnx.helper.make_model(graph, opset_imports=proto.opset_import)
    try:
        found = ReferenceEvaluator(model).run(None, wide)
    except FAILS:
        return None
    return {name: np.asarray(array) for name, array in zip(names, found, strict=True)}
