"""The digests of an ONNX file's weights, all of which must be inside the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from export.errors import ExportError
from export.provenance import array_digest

if TYPE_CHECKING:
    import onnx


def initializer_digests(path: Path) -> dict[str, str]:
    """SHA-256 of every initializer of an ONNX file's graph, by name.

    Raises:
        ExportError: it is no readable ONNX file, or keeps weights in other files.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # no stubs

    try:
        proto = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise ExportError(
            f"{path}: not a readable ONNX file ({error})", hint="it may be truncated; export again"
        ) from error
    if not proto.graph.node or not proto.graph.output:
        raise ExportError(
            f"{path}: not a readable ONNX file (a graph without nodes or outputs)",
            hint="it may be truncated, or something else; export again",
        )
    _require_inside(path, proto)
    return {
        tensor.name: array_digest(onnx.numpy_helper.to_array(tensor))
        for tensor in proto.graph.initializer
    }


def _require_inside(path: Path, proto: onnx.ModelProto) -> None:
    """No tensor, in subgraphs and attributes neither, is kept in another file."""
    nodes = (node for function in proto.functions for node in function.node)
    tensors = chain(_graph_tensors(proto.graph), _node_tensors(nodes))
    outside = [tensor.name for tensor in tensors if tensor.data_location == tensor.EXTERNAL]
    if outside:
        raise ExportError(
            f"{path}: keeps {len(outside)} tensors in other files, which no digest covers",
            hint="merge them into the file: onnx.save(onnx.load(FILE), FILE)",
        )


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    yield from _dense_parts(graph.sparse_initializer)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            yield from _dense_parts([attribute.sparse_tensor, *attribute.sparse_tensors])
            if attribute.HasField("g"):
                yield from _graph_tensors(attribute.g)
            for graph in attribute.graphs:
                yield from _graph_tensors(graph)


def _dense_parts(sparse: Iterable[onnx.SparseTensorProto]) -> Iterator[onnx.TensorProto]:
    for tensor in sparse:
        yield tensor.values
        yield tensor.indices
