"""One node of an ONNX graph at a time, in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from chunking.errors import first_line
from parity.errors import ParityError
from parity.runners.providers import import_onnxruntime
from runtime.onnxruntime_errors import own_errors

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]
CPU = ["CPUExecutionProvider"]
ERRORS_ONLY = 3  # ONNX Runtime's log level


def names_read(node: onnx.NodeProto) -> list[str]:
    """The values that a node reads, those that its inner graphs take from outside too."""
    found = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            inner = {tensor.name for tensor in graph.initializer} | {i.name for i in graph.input}
            for child in graph.node:
                found += [name for name in names_read(child) if name not in inner]
                inner.update(child.output)
            found += [o.name for o in graph.output if o.name not in inner]
    return list(dict.fromkeys(found))


class NodeRunner:
    """Runs one node, twice if need be.

    Args:
        proto: the model that the node is of, for its opsets and functions.
        node: the node.
        fixed: initializers that it reads.
        given: what else it reads, for the types.

    Raises:
        ParityError: ONNX Runtime does not take the node.
    """

    def __init__(
        self,
        proto: onnx.ModelProto,
        node: onnx.NodeProto,
        fixed: Mapping[str, Array],
        given: Mapping[str, Array],
    ) -> None:
        import onnx

        runtime = import_onnxruntime()
        self._node = node
        self._outputs = [name for name in node.output if name]
        inputs = [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), [None] * array.ndim
            )
            for name, array in given.items()
        ]
        graph = onnx.helper.make_graph(
            [node],
            "node",
            inputs,
            [onnx.ValueInfoProto(name=name) for name in self._outputs],
            [onnx.numpy_helper.from_array(array, name) for name, array in fixed.items()],
        )
        model = onnx.helper.make_model(
            graph,
            ir_version=proto.ir_version,
            opset_imports=proto.opset_import,
            functions=proto.functions,
        )
        options = runtime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.intra_op_num_threads = 1  # a pool of threads a node would cost more than it gains
        try:
            self._session = runtime.InferenceSession(
                model.SerializeToString(), options, providers=CPU
            )
        except _errors(runtime) as error:
            raise self._failed(error) from error

    def run(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """The node's outputs by name.

        Raises:
            ParityError: it does not run on these inputs.
        """
        try:
            found = self._session.run(self._outputs, dict(given))
        except _errors(import_onnxruntime()) as error:
            raise self._failed(error) from error
        return {n: np.asarray(a) for n, a in zip(self._outputs, found, strict=True)}

    def _failed(self, error: Exception) -> ParityError:
        return ParityError(
            f"the node {self._node.op_type} {self._node.name} does not run alone: "
            f"{first_line(error)}",
            hint="the file is damaged, or ONNX Runtime is older than it",
        )


def _errors(runtime: Any) -> tuple[type[Exception], ...]:
    """What a node alone may end in; a lack of memory is the machine's fault, not the node's."""
    return (*own_errors(runtime), RuntimeError, ValueError)
