"""Quantise the convolutions that an error budget allows, by ONNX Runtime's own quantiser.

Which they are is measured for the weights at hand (`export.quantise`), on ``sample_dataset/``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trufor_onnx.export.graph.provenance import GraphProvenance, initializer_array
from trufor_onnx.export.quantise import CALIBRATE, JUDGE, Quantiser, choose, picture_feeds

if TYPE_CHECKING:
    import onnx_ir as ir

NAME = "int8"


def apply(model: ir.Model, provenance: GraphProvenance) -> int:
    """Quantise in place. Returns how many convolutions compute in 8 bits.

    Raises:
        ExportError: no set of layers within the budget is worth a file, or there are no pictures.
    """
    import onnx_ir as ir

    proto = ir.to_proto(model)
    name = str(model.graph.inputs[0].name)
    quantiser = Quantiser(proto, picture_feeds(name, CALIBRATE), picture_feeds(name, JUDGE))
    chosen, _ = choose(quantiser, multiply_adds(model))
    changed: ir.Model = ir.from_proto(quantiser.quantised(chosen))
    known = sorted(provenance.origins, key=len, reverse=True)
    for name in changed.graph.initializers:
        if name not in provenance.origins:
            parent = next((known_name for known_name in known if name.startswith(known_name)), "")
            if parent:
                provenance.derive(name, NAME, parent)
    for name in list(provenance.origins):  # weights that exist in 8 bits only
        if name not in changed.graph.initializers:
            del provenance.origins[name]
    changed.graph.sort()
    model.graph = changed.graph
    model.opset_imports.update(changed.opset_imports)
    provenance.forget_unused(model)
    return len(chosen)


def multiply_adds(model: ir.Model) -> dict[str, int]:
    """Multiply-adds a pixel of every convolution, by name, in the graph's order."""
    costs = {}
    for node in model.graph:
        weight = node.inputs[1] if node.op_type == "Conv" else None
        if weight is not None and weight.is_initializer():
            costs[str(node.name)] = int(initializer_array(weight).size)
    return costs
