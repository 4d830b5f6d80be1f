"""Store a linear layer's weight as the matrix product wants it, instead of transposing each run.

``Transpose(W)`` of an initializer becomes the initializer ``W.T``: the same numbers in another
order, nothing is rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trufor_onnx.export.graph.provenance import GraphProvenance, initializer_array

if TYPE_CHECKING:
    import onnx_ir as ir

NAME = "transpose"


def apply(model: ir.Model, provenance: GraphProvenance) -> int:
    """Fold every transposition of an initializer. Returns how many were folded."""
    import onnx_ir as ir

    folded = 0
    for node in list(model.graph):
        if node.op_type != "Transpose" or node.domain:
            continue
        source = node.inputs[0]
        if source is None or not source.is_initializer() or source.name not in provenance.origins:
            continue
        array = initializer_array(source)
        permutation = node.attributes.get_ints("perm", tuple(reversed(range(array.ndim))))
        turned = array.transpose(permutation)
        # Of the same weight there may be another, transposed in another way.
        value = provenance.add(model, f"{source.name}.T", turned, NAME, str(source.name))
        ir.convenience.replace_all_uses_with(node.outputs[0], value)
        model.graph.remove(node, safe=True)
        folded += 1
    provenance.forget_unused(model)
    return folded
