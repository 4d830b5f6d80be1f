"""Where each initializer of a graph came from, and the digests that prove it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ExportError
from trufor_onnx.files import sha256_bytes

if TYPE_CHECKING:
    import onnx_ir as ir

CHECKPOINT = "checkpoint"  # a tensor of the state dict, byte for byte
CONSTANT = "constant"  # a number or shape written in the network's code
LARGEST_CONSTANT = 64  # elements; a larger tensor must have an origin, but see `is_constant`


@dataclass(frozen=True)
class Origin:
    """How an initializer was made.

    Attributes:
        transform: ``checkpoint``, ``constant``, or the name of the transform that
            derived it, such as ``fold_batchnorm``.
        sources: the state dict's tensors that it was made of, by the network's own names.
    """

    transform: str
    sources: tuple[str, ...] = ()


@dataclass
class GraphProvenance:
    """The origins of a graph's initializers, by name; a transform keeps it true."""

    origins: dict[str, Origin] = field(default_factory=dict)

    def derive(self, name: str, transform: str, *parents: str) -> None:
        """Record that ``name`` was made by ``transform`` of the initializers ``parents``."""
        sources = [source for parent in parents for source in self.origins[parent].sources]
        steps = [self.origins[parent].transform for parent in parents]
        before = [s for s in dict.fromkeys(steps) if s not in (CHECKPOINT, transform)]
        self.origins[name] = Origin("+".join([*before, transform]), tuple(dict.fromkeys(sources)))

    def add(
        self, model: ir.Model, name: str, array: npt.NDArray[Any], transform: str, *parents: str
    ) -> ir.Value:
        """Put a new initializer into the graph that ``transform`` made of others.

        Args:
            model: the graph.
            name: what it is to be called; it gets a stroke for each initializer of that name.
            array: its content.
            transform: what made it.
            parents: the initializers that it was made of; without any it is a constant.
        """
        import onnx_ir as ir

        while name in model.graph.initializers:
            name += "'"
        value = ir.Value(
            name=name,
            const_value=ir.Tensor(np.asarray(array, order="C"), name=name),
            shape=ir.Shape(array.shape),
            type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
        )
        model.graph.register_initializer(value)
        if parents:
            self.derive(name, transform, *parents)
        return value

    def forget_unused(self, model: ir.Model) -> None:
        """Drop initializers that nothing reads, from the graph and from the record."""
        for name, value in list(model.graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                del model.graph.initializers[name]
                self.origins.pop(name, None)

    def require_sound(self, model: ir.Model, *, strict: bool) -> None:
        """Every recorded initializer is in the graph, and every other one is a constant.

        Constants inside of nodes (also in branches and loops) are looked at too.

        Args:
            model: the graph.
            strict: refuse what `is_constant` does not allow; else only lost weights are errors.

        Raises:
            ExportError: a weight was lost, or a tensor appeared that has no origin.
        """
        initializers = model.graph.initializers
        lost = [name for name in self.origins if name not in initializers]
        if lost:
            raise ExportError(
                f"the graph lost {len(lost)} initializers: {', '.join(lost[:8])}",
                hint="a transform dropped weights; please report this with the command you ran",
            )
        if not strict:
            return
        for name, array in _constants(model):
            if name not in self.origins and not is_constant(array):
                raise ExportError(
                    f"the graph holds {name} {array.dtype}{list(array.shape)}, which is no tensor "
                    "of the checkpoint nor derived from one by a named transform",
                    hint="in a network of your own register it as a persistent buffer, or declare "
                    "the network not strict; else a transform folded a weight: please report it",
                )

    def covered(self) -> set[str]:
        """The state dict's tensors that at least one initializer was made of."""
        return {source for origin in self.origins.values() for source in origin.sources}

    def document(
        self, model: ir.Model, checkpoint_names: Mapping[str, str], digests: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """One entry an initializer: name, dtype, shape, SHA-256, and where it came from.

        Args:
            model: the graph.
            checkpoint_names: the name in the checkpoint where it is not the network's own.
            digests: SHA-256 of the state dict's tensors, by the network's own names.

        Raises:
            ExportError: an initializer that should be a tensor of the state dict is not.
        """
        entries = []
        for name in sorted(model.graph.initializers):
            array = initializer_array(model.graph.initializers[name])
            origin = self.origins.get(name, Origin(CONSTANT))
            digest = array_digest(array)
            if origin.transform == CHECKPOINT and digest != digests[origin.sources[0]]:
                raise ExportError(
                    f"{name} in the graph is not {origin.sources[0]} of the weights any more",
                    hint="a transform changed it unseen; please report this",
                )
            entries.append(
                {
                    "name": name,
                    "dtype": str(array.dtype),
                    "shape": list(array.shape),
                    "sha256": digest,
                    "transform": origin.transform,
                    "sources": [checkpoint_names.get(source, source) for source in origin.sources],
                }
            )
        return entries


def is_constant(array: npt.NDArray[Any]) -> bool:
    """Whether it can be written in the code: it is small, or a vector of one number throughout.

    Such a vector is the scale of a LayerNorm whose own is folded into the next layer.
    """
    if array.size <= LARGEST_CONSTANT:
        return True
    return array.ndim == 1 and bool((array == array[0]).all())


def _constants(model: ir.Model) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Every constant tensor of a graph with its name: initializers, and tensors inside of nodes."""
    import onnx_ir as ir

    for graph in model.graphs():
        for name, value in graph.initializers.items():
            yield name, initializer_array(value)
        for node in graph:
            for attribute in node.attributes.values():
                if attribute.type == ir.AttributeType.TENSOR:
                    yield f"in {node.op_type} {node.name}", attribute.as_tensor().numpy()
                elif attribute.type in (ir.AttributeType.FLOATS, ir.AttributeType.INTS):
                    yield f"in {node.op_type} {node.name}", np.asarray(attribute.value)


def initializer_array(value: ir.Value) -> npt.NDArray[Any]:
    """An initializer's content."""
    if value.const_value is None:
        raise ExportError(
            f"the initializer {value.name} has no content",
            hint="the ONNX file keeps it elsewhere (external data); merge it into one file",
        )
    return value.const_value.numpy()


def array_digest(array: npt.NDArray[Any]) -> str:
    """SHA-256 of an array's content as ONNX stores it: little-endian, row by row."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return sha256_bytes(little.reshape(-1).view(np.uint8).data if little.size else b"")
