"""The last steps of an export: metadata, checks, bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chunking.errors import first_line
from export.attach import unused_tensors
from export.errors import ExportError
from export.lock import LOCK_VERSION, METADATA_KEY, canonical
from export.provenance import Provenance
from export.spec import ModelSpec, TensorSpec
from export.toolchain import toolchain
from export.weights import Weights

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

PRODUCER = "trufor-onnx"
VARIANT_KEY = "trufor_onnx.variant"  # of the file's metadata
PREPROCESSING_KEY = "trufor_onnx.preprocessing"
QUANTISED = "int8"  # a transform whose calibration runs in ONNX Runtime
LARGE_BYTES = 1024  # initializers above this are checked one by one, not with the graph


def provenance_document(
    model: ir.Model,
    spec: ModelSpec,
    weights: Weights,
    provenance: Provenance,
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
        **_domains(model),
        "opset": model.opset_imports[""],
        "weights": weights.document(),
        "preprocessing": spec.preprocessing.document(),
        "least_size": spec.least_size,
        "inputs": [_tensor_document(tensor) for tensor in spec.inputs],
        "outputs": [_tensor_document(tensor) for tensor in spec.outputs],
        "toolchain": toolchain(*(["onnxruntime"] if QUANTISED in transforms else [])),
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
            if tensor.data_location != onnx.TensorProto.EXTERNAL:  # `export.external` wrote those
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
    return {"name": tensor.name, "axes": list(tensor.axes), "description": tensor.description}


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
