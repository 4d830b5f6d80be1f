"""Is it the file, or the runtime's rounding? The same file computed in two other ways.

Where a candidate's error is too large, its graph is computed in float64 by onnx's reference
implementation, and by ONNX Runtime without graph optimisation. A file whose graph and weights are
the network's is right in float64, however its kernels round; a wrong one is as wrong there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.cases import LARGEST_SIDE, Case
from parity.contributed import operators
from parity.metrics import mean_absolute_error
from parity.runners.base import Feeds, Outputs
from parity.tolerances import Tolerance
from runtime.onnxruntime_errors import session_errors

if TYPE_CHECKING:
    import onnx

EPS = 2.0**-23  # the distance of float32 numbers near 1
ROUNDINGS = 1.0  # of an output itself, on the mean, in units of EPS times its size
KEY = "witnesses"  # in a model's part of the report
MOST_VALUES = 3 * 256 * 256  # of an input: onnx's own implementation is slow, and takes memory
# Where a case itself is asked for, as a rounding of its own decides it: the largest that is drawn.
MOST_OF_CASE = 3 * LARGEST_SIDE * LARGEST_SIDE
MIDDLE = ", its middle"  # after a case's name: a crop of a larger one
# What a file may be off in float64 by a limit in the output's own units, as a share of it.
EXACT = 0.25
LARGEST_FILE = 1 << 30  # bytes
STEP = 8  # nodes whose results are kept at once
FLOATS = {"FLOAT", "FLOAT16", "BFLOAT16"}


@dataclass(frozen=True)
class Witness:
    """What a candidate gives when it is computed in another way.

    Attributes:
        image: the case on which.
        mae: of the candidate as it was judged, against the float64 network.
        mae_source: PyTorch float32's.
        mae_float64: of the same graph in float64; None where it cannot be computed.
        mae_plain: of the same graph without optimisation, or None.
        size: root mean square of the float64 network's output.
    """

    image: str
    mae: float
    mae_source: float
    mae_float64: float | None
    mae_plain: float | None
    size: float

    def clears(self, tolerance: Tolerance) -> bool:
        """Whether the file is as near to the float64 network as PyTorch float32 is.

        Nearer, by a limit in the output's own units: what is left of such a limit is rounding.
        """
        if not self._within(self.mae_float64, tolerance):
            return False
        assert self.mae_float64 is not None
        return tolerance.relative or self.mae_float64 <= EXACT * tolerance.mae

    def speaks_of(self, image: str) -> bool:
        """Whether it was computed on a case, or on the middle of it."""
        return self.image in (image, image + MIDDLE)

    def sentence(self, tolerance: Tolerance) -> str:
        """What it says of a failure, or "" where it says nothing for the file."""
        if self.clears(tolerance):
            return (
                f"on {self.image} the same file computed in float64 is within limits (mae "
                f"{self.mae_float64:.3g} for {self.mae:.3g}): ONNX Runtime's kernels round, the "
                "file is right"
            )
        if self._within(self.mae_plain, tolerance) and self.mae_float64 is None:
            return (
                f"on {self.image} the same graph without optimisation is within limits (mae "
                f"{self.mae_plain:.3g} for {self.mae:.3g}): ONNX Runtime's optimiser, not the file"
            )
        return ""

    def _within(self, mae: float | None, tolerance: Tolerance) -> bool:
        allowed = max(tolerance.accuracy_ratio * self.mae_source, ROUNDINGS * EPS * self.size)
        return mae is not None and mae <= allowed


def find_witnesses(
    document: object, variant: str, provider: str, output: str, cases: str = ""
) -> list[Witness]:
    """The witnesses of an output out of a model's part of a report; of a group with ``cases``."""
    given = document.get(KEY) if isinstance(document, Mapping) else None
    place = {"variant": variant, "provider": provider, "output": output}
    place |= {"cases": cases} if cases else {}
    found = []
    for entry in given if isinstance(given, list) else ():
        if isinstance(entry, Mapping) and all(entry.get(k) == v for k, v in place.items()):
            mae, source, size = (_finite(entry.get(k)) for k in ("mae", "mae_source", "size"))
            others = [entry.get(key) for key in ("mae_float64", "mae_plain")]
            exact, plain = map(_finite, others)
            if mae is None or source is None or size is None:
                continue
            if [exact, plain] == others:  # each a figure, or null as one that was not computed is
                found.append(Witness(str(entry.get("image")), mae, source, exact, plain, size))
    return found


def _finite(given: Any) -> float | None:
    """A figure that is finite and not negative, else None."""
    if type(given) not in (int, float) or not math.isfinite(given) or given < 0.0:
        return None
    return float(given)


def mean_error(found: Outputs | None, reference: Outputs, output: str) -> float | None:
    """The mean absolute error of one output; None where there is none, or of another shape."""
    if found is None or output not in found or found[output].shape != reference[output].shape:
        return None
    error = mean_absolute_error(found[output], reference[output])
    return error if math.isfinite(error) else None


def size_of(reference: Outputs, output: str) -> float:
    """The root mean square of an output."""
    return float(np.sqrt(np.mean(np.square(reference[output], dtype=np.float64))))


def middle_of(case: Case, shape: Sequence[int]) -> Case:
    """A case as it is where it can be computed in float64, else the middle of its pictures.

    Args:
        case: a case.
        shape: (B, C, H, W) of the network's first input on it.
    """
    share = math.sqrt(MOST_OF_CASE / (math.prod(shape) or 1))
    if share >= 1.0 or len(shape) != 4:
        return case
    size = int(shape[2] * share), int(shape[3] * share)
    return replace(case, name=case.name + MIDDLE, size=size)


def in_float64(path: Path, feeds: Feeds, most: int = MOST_VALUES) -> Outputs | None:
    """A file's outputs with every floating number in float64.

    None where that cannot be done: no onnx, more than ``most`` numbers in an input, an operator
    that neither onnx's reference implementation nor `parity.contributed` has.
    """
    try:
        import onnx
    except ImportError:
        return None
    largest = max(array.size for array in feeds.values())
    if largest > most or path.stat().st_size > LARGEST_FILE:
        return None
    model = onnx.load(path)
    _widen(model.graph)
    for function in model.functions:
        _widen_nodes(function.node)
    wide = {name: array.astype(np.float64) for name, array in feeds.items()}
    try:
        with np.errstate(all="ignore"):  # what comes of it is measured, and NaN clears nothing
            return _computed(model, wide)
    except (
        *(NotImplementedError, RuntimeError, ValueError, TypeError, KeyError, IndexError),
        *(AttributeError, ArithmeticError, MemoryError),
    ):  # onnx's implementations raise what numpy does; then there is no witness
        return None


def _computed(model: onnx.ModelProto, feeds: Mapping[str, Any]) -> Outputs:
    """The outputs by onnx's reference implementation, a few nodes at a time.

    It keeps every result to the end of a run, 8 GB at 280 x 503: so each run is a short one.
    """
    import onnx
    from onnx.reference import ReferenceEvaluator

    graph = model.graph
    if graph.sparse_initializer:
        raise NotImplementedError("sparse weights")
    outputs = [output.name for output in graph.output]
    parts = [graph.node[first : first + STEP] for first in range(0, len(graph.node), STEP)]
    later, needed = set(outputs), []
    for part in reversed(parts):
        needed.append(set(later))
        later |= set(_read(part))
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept: dict[str, Any] = weights | dict(feeds)
    del weights
    for part, wanted in zip(parts, reversed(needed), strict=True):
        given = {name: kept[name] for name in _read(part) if name in kept}
        made = [name for node in part for name in node.output if name in wanted]
        ends = [[onnx.ValueInfoProto(name=name) for name in names] for names in (given, made)]
        piece = onnx.ModelProto(ir_version=model.ir_version)
        piece.opset_import.extend(model.opset_import)
        piece.functions.extend(model.functions)
        piece.graph.CopyFrom(onnx.GraphProto(name="part", node=part, input=ends[0], output=ends[1]))
        found = ReferenceEvaluator(piece, new_ops=list(operators())).run(made, given)
        kept.update(zip(made, found, strict=True))
        kept = {name: array for name, array in kept.items() if name in wanted}
    return {name: np.asarray(kept[name]) for name in outputs}


def _read(nodes: Any) -> Iterator[str]:
    """The names that nodes read, and those that their subgraphs do, which may be from outside."""
    import onnx

    for node in nodes:
        yield from filter(None, node.input)  # "" stands for an input that is left out
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _read(attribute.g.node)
                yield from (output.name for output in attribute.g.output)


def without_optimisation(path: Path, feeds: Feeds, *, threads: int) -> Outputs | None:
    """A file's outputs by ONNX Runtime on the CPU, its graph left as it is; None if it does not."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))
    except session_errors(onnxruntime):
        return None


def _widen(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type in _narrow():
            value.type.tensor_type.elem_type = _double()
    _widen_nodes(graph.node)


def _widen_nodes(nodes: Any) -> None:
    """Constants, subgraphs, and the types that operators are told."""
    import onnx

    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
            elif attribute.type == onnx.AttributeProto.GRAPH:
                _widen(attribute.g)
            elif attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT:
                attribute.i = _double()  # a cast to float16 stays: that is the file's own rounding
            elif attribute.name in ("value_float", "value_floats") and node.op_type == "Constant":
                given = attribute.f if attribute.name == "value_float" else list(attribute.floats)
                attribute.CopyFrom(onnx.helper.make_attribute("value", _array(given)))


def _array(given: Any) -> onnx.TensorProto:
    import onnx

    return onnx.numpy_helper.from_array(np.asarray(np.float32(given), dtype=np.float64))


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    import onnx

    if tensor.data_type in _narrow():
        wide = onnx.numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(onnx.numpy_helper.from_array(wide, tensor.name))


def _narrow() -> set[int]:
    import onnx

    return {onnx.TensorProto.DataType.Value(name) for name in FLOATS}


def _double() -> int:
    import onnx

    return int(onnx.TensorProto.DOUBLE)
