"""Fold shape arithmetic with onnxsim, which never sees a weight.

The weights become typed graph inputs before the simplifier runs and initializers again after it:
it cannot round, merge or rename what it cannot see, and it works on a graph of kilobytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trufor_onnx.errors import ExportError
from trufor_onnx.export.graph.provenance import GraphProvenance

if TYPE_CHECKING:
    import onnx_ir as ir

NAME = "simplify"
# It would make one long float32 sum of the two that are written: docs/decisions/sums-by-rows.md.
SKIPPED = ("fuse_consecutive_reduce",)


def apply(model: ir.Model, provenance: GraphProvenance) -> int:
    """Simplify the graph in place. Returns how many nodes went away."""
    import onnx_ir as ir
    import onnxsim

    before = model.graph.num_nodes()
    contents = {}
    data_inputs = list(model.graph.inputs)
    for name in sorted(provenance.origins):
        value = model.graph.initializers.pop(name)
        contents[name] = value.const_value
        value.const_value = None
        model.graph.inputs.append(value)
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]  # shapes of the traced example; the simplifier infers its own
    simplified, _ = onnxsim.simplify(
        proto, skip_fuse_bn=True, skipped_optimizers=list(SKIPPED), certify=False
    )
    slim: ir.Model = ir.from_proto(simplified)
    after = {str(value.name): value for value in slim.graph.inputs}
    missing = [str(v.name) for v in data_inputs if str(v.name) not in after]
    missing += [name for name in contents if name not in after]
    if missing:
        raise ExportError(
            f"onnxsim dropped {len(missing)} inputs: {', '.join(missing[:8])}",
            hint="please report this with the versions that `pip freeze` prints",
        )
    for name, content in contents.items():
        value = after[name]
        slim.graph.inputs.remove(value)
        value.const_value = content
        slim.graph.register_initializer(value)
    model.graph = slim.graph
    return before - slim.graph.num_nodes()
