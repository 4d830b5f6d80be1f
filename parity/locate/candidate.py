"""The candidate of ``parity locate``: the file, what it says it is, its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ParityError, first_line
from trufor_onnx.export.graph.finish import VARIANT_KEY
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.variants import ORT
from trufor_onnx.parity.locate.tape import Tape
from trufor_onnx.parity.runners.base import Outputs
from trufor_onnx.providers import import_to_measure
from trufor_onnx.sessions import open_session, own_errors

if TYPE_CHECKING:
    import onnx
    import torch

ERRORS_ONLY = 3  # ONNX Runtime's log level
Array = npt.NDArray[Any]
# Nodes that arrange, convert or dequantise weights, and are done before the walk.
FOLDED = ("Cast", "DequantizeLinear", "Identity", "Mul", "Reshape", "Squeeze", "Transpose",
          "Unsqueeze")  # fmt: skip
# Nodes that make or read 8-bit numbers.
QUANTISED = ("ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger",
             "QLinearConv", "QLinearMatMul", "QuantizeLinear")  # fmt: skip
SAME = 1e-9  # of an output's largest value; 1e-11 in tests of the rewriting


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

        runtime = import_to_measure()
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
            self._session = open_session(model.SerializeToString(), options)
        except _errors(runtime) as error:
            raise self._failed(error) from error

    def run(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """The node's outputs by name.

        Raises:
            ParityError: it does not run on these inputs.
        """
        try:
            found = self._session.run(self._outputs, dict(given))
        except _errors(import_to_measure()) as error:
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


@dataclass(frozen=True)
class Opened:
    """A candidate's file.

    Attributes:
        proto: the graph without its initializers, and without the nodes that read only those.
        arrays: initializers, and what such nodes (``DequantizeLinear`` of a weight) make of them.
        roots: for what a node made, the initializer that it was made of.
    """

    proto: onnx.ModelProto
    arrays: dict[str, Array]
    roots: dict[str, str]

    @property
    def quantised(self) -> bool:
        """Whether it computes with 8-bit numbers anywhere."""
        ran = any(node.op_type in QUANTISED for node in self.proto.graph.node)
        return ran or any(name in self.roots and self.dequantised(name) for name in self.arrays)

    def stored(self, name: str) -> np.dtype[Any]:
        """The type in which the file keeps an array, or what it is made of."""
        return self.arrays[self.roots.get(name, name)].dtype

    def dequantised(self, name: str) -> bool:
        """Whether an array was made of one of 8-bit numbers."""
        return self.stored(name) in (np.int8, np.uint8)


def load(path: Path) -> Opened:
    """Read the file; `identify` has read it before, so that it is whole.

    Raises:
        ParityError: it cannot be read, or keeps weights in a file that is not there.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # no stubs

    try:
        proto = onnx.load(path)
        arrays = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    except (OSError, ValueError, DecodeError, onnx.checker.ValidationError) as error:
        raise ParityError(
            f"{path}: cannot be read ({first_line(error)})",
            hint="a file that keeps its weights in FILE.onnx.data needs that file beside it",
        ) from error
    kept: list[onnx.NodeProto] = []
    roots: dict[str, str] = {}
    for node in proto.graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            arrays[node.output[0]] = onnx.numpy_helper.to_array(value)
        elif not _fold(proto, node, arrays, roots):
            kept.append(node)
    del proto.graph.node[:], proto.graph.initializer[:]
    proto.graph.node.extend(kept)
    return Opened(proto, arrays, roots)


def _fold(
    proto: onnx.ModelProto, node: onnx.NodeProto, arrays: dict[str, Array], roots: dict[str, str]
) -> bool:
    """Compute a node that reads initializers only; False where it is none or does not run."""
    read = [name for name in node.input if name]
    if node.op_type not in FOLDED or not read or not all(name in arrays for name in read):
        return False
    given = {name: arrays[name] for name in read}
    try:
        made = NodeRunner(proto, node, given, {}).run({})
    except ParityError:
        return False
    arrays.update(made)
    root = max(read, key=lambda name: arrays[name].size)
    roots.update(dict.fromkeys(made, roots.get(root, root)))
    return True


def variant_of(proto: onnx.ModelProto) -> str:
    """What the file says it is; "" where it says nothing."""
    said = {entry.key: entry.value for entry in proto.metadata_props}
    return str(said.get(VARIANT_KEY, ""))


def in_its_pieces(
    proto: onnx.ModelProto, spec: ModelSpec, module: torch.nn.Module
) -> torch.nn.Module:
    """The network, computing in the pieces of the file's variant where those are others.

    `ort` multiplies layers into each other; `require_same` proves that it is the same network.
    """
    return ORT.rewritten(spec, module) if variant_of(proto) == ORT.name else module


def require_same(tape: Tape, written: Outputs, name: str) -> None:
    """The recorded outputs are those of the network as it is written.

    Args:
        tape: the record of the network in other pieces.
        written: outputs of the network as it is written, float64, in order.
        name: the network's.

    Raises:
        ParityError: they differ by more than float64 rounds.
    """
    for value, wanted in zip(tape.outputs, written.values(), strict=True):
        worst = float(np.abs(tape.array(value).reshape(wanted.shape) - wanted).max())
        if not worst <= SAME * float(np.abs(wanted).max()):
            raise ParityError(
                f"{name}: in the pieces of the variant {ORT.name} it is {worst:.1e} off itself",
                hint="please report it; parity run judges the file against the network as written",
            )


@dataclass(frozen=True)
class Output:
    """What an output of the file should be.

    Attributes:
        name: the network's name of it.
        value: the reference's value.
        shape: its shape.
    """

    name: str
    value: int
    shape: tuple[int, ...]


def outputs_of(proto: onnx.ModelProto, spec: ModelSpec, tape: Tape) -> list[Output]:
    """What each of the file's outputs should be: by name, or the only one there is.

    Raises:
        ParityError: the file has other outputs, or one of the network's does not depend on its
            inputs.
    """
    names = [value.name for value in proto.graph.output]
    given = zip(spec.outputs, tape.outputs, tape.output_shapes, strict=True)
    own = {tensor.name: Output(tensor.name, value, shape) for tensor, value, shape in given}
    for output in own.values():
        if output.value not in tape.shapes:
            raise ParityError(
                f"the network's output {output.name} does not depend on its inputs",
                hint="there is nothing to locate in it; see the network's forward",
            )
    if set(names) == set(own):
        return [own[name] for name in names]
    if len(names) == len(own) == 1:
        return list(own.values())
    raise ParityError(
        f"the file's outputs are {', '.join(names)}; the network has {', '.join(own)}",
        hint="it is another network's file, or its outputs were renamed",
    )
