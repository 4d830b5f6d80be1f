"""Put the checkpoint's tensors into a traced graph, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.coverage import COUNTER
from export.errors import CoverageError, ExportError
from export.provenance import CHECKPOINT, Origin, Provenance
from export.spec import ModelSpec
from export.weights import Weights

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir


def attach(
    graph: onnx.ModelProto, spec: ModelSpec, weights: Weights
) -> tuple[ir.Model, Provenance]:
    """Turn the graph's weight inputs into initializers with the checkpoint's content.

    Args:
        graph: a traced graph, weights as inputs (`export.to_onnx.trace`).
        spec: the network.
        weights: the network's tensors.

    Returns:
        The graph with its weights, and the record of where each came from.

    Raises:
        CoverageError: a tensor of the network is not in the graph.
        ExportError: the graph wants a tensor that the network does not have.
    """
    import onnx_ir as ir

    model = ir.from_proto(graph)
    provenance = Provenance()
    data_inputs = {tensor.name for tensor in spec.inputs}
    for value in list(model.graph.inputs):
        name = str(value.name)
        if name in data_inputs:
            continue
        if name not in weights.tensors:
            raise ExportError(
                f"{spec.name}: the graph wants a tensor {name!r} that the network does not name",
                hint="register it as a parameter or a persistent buffer of the network",
            )
        tensor = weights.tensors[name]
        model.graph.inputs.remove(value)
        value.const_value = ir.Tensor(tensor.detach().contiguous().numpy(), name=name)
        value.shape = ir.Shape(tuple(tensor.shape))
        model.graph.register_initializer(value)
        provenance.origins[name] = Origin(CHECKPOINT, (name,))
    require_all_used(spec, weights, provenance)
    return model, provenance


def require_all_used(spec: ModelSpec, weights: Weights, provenance: Provenance) -> None:
    """In a strict network every tensor is in the graph, as it is or in one derived from it.

    Raises:
        CoverageError: names those that are not.
    """
    unused = [n for n in unused_tensors(weights, provenance) if not n.endswith(COUNTER)]
    if spec.strict and unused:
        raise CoverageError(
            f"{spec.name}: {len(unused)} tensors of the checkpoint are not in the graph: "
            f"{', '.join(unused[:8])}",
            hint="the network does not use them, or they were merged; please report this",
        )


def unused_tensors(weights: Weights, provenance: Provenance) -> list[str]:
    """Tensors that no initializer was made of, under none of their names; sorted."""
    first = weights.tied
    covered = {first.get(name, name) for name in provenance.covered()}
    return sorted(name for name in weights.tensors if first.get(name, name) not in covered)
