"""Remove what a graph need not carry: copies, dead nodes, stack traces, shapes of inner values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trufor_onnx.export.graph.provenance import GraphProvenance

if TYPE_CHECKING:
    import onnx_ir as ir

NAME = "clean"


def apply(model: ir.Model, provenance: GraphProvenance) -> int:
    """Clean the graph in place. Returns how many nodes went away."""
    import onnx_ir.passes.common as common
    from onnx_ir.passes import Sequential

    before = model.graph.num_nodes()
    names = set(model.graph.initializers)
    Sequential(
        common.IdentityEliminationPass(),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.ClearMetadataAndDocStringPass(),
    )(model)
    for name in names.difference(model.graph.initializers):  # only dead nodes had read them
        provenance.origins.pop(name, None)
    provenance.forget_unused(model)
    return before - model.graph.num_nodes()
