"""The last steps of an export: metadata, checks, bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from trufor_onnx.documents import canonical
from trufor_onnx.errors import CoverageError, ExportError, first_line
from trufor_onnx.export.graph.provenance import (
    CHECKPOINT,
    GraphProvenance,
    Origin,
    initializer_array,
)
from trufor_onnx.export.lock import LOCK_VERSION, METADATA_KEY
from trufor_onnx.export.networks.spec import DYNAMO, TRACER, ModelSpec, TensorSpec
from trufor_onnx.export.weights.coverage import COUNTER
from trufor_onnx.export.weights.tensors import Weights
from trufor_onnx.sessions import package_version

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir


DECIDING = ("torch", "onnx", "onnx-ir", "onnxsim", "numpy")
PRODUCER = "trufor-onnx"
VARIANT_KEY = "trufor_onnx.variant"  # of the file's metadata
PREPROCESSING_KEY = "trufor_onnx.preprocessing"
QUANTISED = "int8"  # a transform whose calibration runs in ONNX Runtime
LARGE_BYTES = 1024  # initializers above this are checked one by one, not with the graph
MOST_INSIDE = 2_000_000_000  # bytes of weights; a message ends at 2**31 - 1, the graph included
ALIGNMENT = 4096  # a page
LEAST_OUTSIDE = 1024  # bytes; what is smaller stays in the graph, shapes above all
BLOCK = 1 << 24  # bytes that are written at a time


def attach(
    graph: onnx.ModelProto, spec: ModelSpec, weights: Weights
) -> tuple[ir.Model, GraphProvenance]:
    """Turn the graph's weight inputs into initializers with the checkpoint's content.

    Args:
        graph: a traced graph, weights as inputs (`export.graph.trace.trace`).
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
    provenance = GraphProvenance()
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


def require_all_used(spec: ModelSpec, weights: Weights, provenance: GraphProvenance) -> None:
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


def unused_tensors(weights: Weights, provenance: GraphProvenance) -> list[str]:
    """Tensors that no initializer was made of, under none of their names; sorted."""
    first = weights.tied
    covered = {first.get(name, name) for name in provenance.covered()}
    return sorted(name for name in weights.tensors if first.get(name, name) not in covered)


def toolchain(*more: str) -> dict[str, str]:
    """Version by package, without local suffixes: ``2.13.0+cpu`` and ``2.13.0`` write the same.

    Args:
        more: packages that decide this file's bytes beside the usual ones.
    """
    return {name: package_version(name) for name in (*DECIDING, *more)}


def provenance_document(
    model: ir.Model,
    spec: ModelSpec,
    weights: Weights,
    provenance: GraphProvenance,
    *,
    variant: str,
    transforms: Mapping[str, int],
) -> dict[str, Any]:
    """Everything that is to be known about an exported file, but for its own digest."""
    return {
        "lock_version": LOCK_VERSION,
        "model": spec.name,
        "title": spec.title,
        "network_version": spec.version,
        "variant": variant,
        **({"exporter": spec.exporter} if spec.exporter != TRACER else {}),
        **_domains(model),
        "opset": model.opset_imports[""],
        "weights": weights.document(),
        "preprocessing": spec.preprocessing.document(),
        "least_size": spec.least_size,
        "inputs": [_tensor_document(tensor) for tensor in spec.inputs],
        "outputs": [_tensor_document(tensor) for tensor in spec.outputs],
        "toolchain": toolchain(
            *(["onnxruntime"] if QUANTISED in transforms else []),
            *(["onnxscript"] if spec.exporter == DYNAMO else []),
        ),
        "transforms": dict(transforms),
        "unused_tensors": unused_tensors(weights, provenance),
        "initializers": provenance.document(model, weights.sources, weights.digests),
    }


def to_checked_proto(
    model: ir.Model, spec: ModelSpec, document: Mapping[str, Any]
) -> onnx.ModelProto:
    """The finished file: named axes, metadata, checked by onnx with full shape inference.

    Raises:
        ExportError: onnx's checker or shape inference refuses the graph.
    """
    import onnx
    import onnx_ir as ir

    proto = ir.to_proto(model)
    proto.ir_version = onnx.helper.find_min_ir_version_for(proto.opset_import, ignore_unknown=True)
    proto.producer_name = PRODUCER
    proto.producer_version = document["network_version"]
    proto.doc_string = ""
    proto.graph.name = spec.name
    proto.graph.doc_string = ""
    del proto.graph.value_info[:]
    by_name = {value.name: value for value in (*proto.graph.input, *proto.graph.output)}
    for tensor in (*spec.inputs, *spec.outputs):
        _declare_axes(by_name[tensor.name], tensor)
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, _metadata(document))
    try:
        onnx.checker.check_model(_without_weights(proto), full_check=True)
        for tensor in proto.graph.initializer:
            if (
                tensor.data_location != onnx.TensorProto.EXTERNAL
            ):  # `export.graph.finish` wrote those
                onnx.checker.check_tensor(tensor)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(
            f"{spec.name}: the graph is not valid ONNX ({first_line(error)})",
            hint="try another --opset; please report this with the command you ran",
        ) from error
    return proto


def _metadata(document: Mapping[str, Any]) -> dict[str, str]:
    """Flat keys for people who look into the file, and the whole document for the tools."""
    return {
        METADATA_KEY: canonical(document),
        "trufor_onnx.model": document["model"],
        "trufor_onnx.network_version": document["network_version"],
        VARIANT_KEY: document["variant"],
        "trufor_onnx.weights": document["weights"]["label"],
        "trufor_onnx.weights_digest": document["weights"]["digest"],
        PREPROCESSING_KEY: canonical(document["preprocessing"]),
    }


def _domains(model: ir.Model) -> dict[str, Any]:
    """Operator domains beside ONNX's own, with their versions; nothing where there are none."""
    used = {node.domain for node in model.graph.all_nodes()} - {""}
    imports = {domain: model.opset_imports[domain] for domain in sorted(used)}
    return {"domains": imports} if imports else {}


def _tensor_document(tensor: TensorSpec) -> dict[str, Any]:
    other = {"dtype": tensor.dtype} if tensor.dtype != "float32" else {}
    return {
        "name": tensor.name,
        "axes": list(tensor.axes),
        "description": tensor.description,
        **other,
    }


def _declare_axes(value: onnx.ValueInfoProto, tensor: TensorSpec) -> None:
    del value.type.tensor_type.shape.dim[:]
    for axis in tensor.axes:
        dimension = value.type.tensor_type.shape.dim.add()
        if isinstance(axis, int):
            dimension.dim_value = axis
        else:
            dimension.dim_param = axis


def _without_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose larger initializers are inputs: full checks without copying the weights."""
    import onnx

    slim = onnx.ModelProto(
        ir_version=proto.ir_version,
        opset_import=proto.opset_import,
        functions=proto.functions,
        metadata_props=proto.metadata_props,
    )
    slim.graph.name = proto.graph.name
    slim.graph.node.extend(proto.graph.node)
    slim.graph.input.extend(proto.graph.input)
    slim.graph.output.extend(proto.graph.output)
    for tensor in proto.graph.initializer:
        outside = tensor.data_location == onnx.TensorProto.EXTERNAL
        if outside or len(tensor.raw_data) > LARGE_BYTES:
            slim.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
        else:
            slim.graph.initializer.append(tensor)
    return slim


@dataclass(frozen=True)
class Outside:
    """The content of a ``.data`` file, not on disk yet.

    Attributes:
        name: the file's name.
        arrays: its tensors with the offset of each, in order.
        size: the file's size in bytes.
    """

    name: str
    arrays: tuple[tuple[int, npt.NDArray[Any]], ...]
    size: int

    def blocks(self) -> Iterator[memoryview]:
        """The file's bytes, tensors as ONNX stores them: little-endian, row by row."""
        position = 0
        for offset, array in self.arrays:
            yield memoryview(bytes(offset - position))
            little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
            content: memoryview = little.reshape(-1).view(np.uint8).data
            yield from (content[start : start + BLOCK] for start in range(0, len(content), BLOCK))
            position = offset + len(content)

    def write(self, stream: BinaryIO) -> None:
        """Write the file."""
        for block in self.blocks():
            stream.write(block)

    def entry(self) -> dict[str, Any]:
        """Name, size and digest, as a lock holds them."""
        digest = sha256()
        for block in self.blocks():
            digest.update(block)
        return {"name": self.name, "size_bytes": self.size, "sha256": digest.hexdigest()}


def move_out(model: ir.Model, name: str) -> Outside | None:
    """Let a graph with more weights than a file can hold refer to a file beside it.

    Args:
        model: the graph; its larger initializers lose their content.
        name: the name of the file that they will be in.

    Returns:
        That file, or None where all stays in the graph.
    """
    import onnx_ir as ir

    arrays = {key: initializer_array(value) for key, value in model.graph.initializers.items()}
    if sum(array.nbytes for array in arrays.values()) <= MOST_INSIDE:
        return None
    placed, end = [], 0
    for key in sorted(arrays):
        array, value = arrays[key], model.graph.initializers[key]
        if array.nbytes < LEAST_OUTSIDE or value.dtype is None:
            continue
        offset = -(-end // ALIGNMENT) * ALIGNMENT
        value.const_value = ir.ExternalTensor(
            name, offset, array.nbytes, value.dtype, shape=ir.Shape(array.shape), name=key
        )
        placed.append((offset, array))
        end = offset + array.nbytes
    return Outside(name, tuple(placed), end)
