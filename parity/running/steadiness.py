"""A candidate run again: it must be a function of its inputs, and may be computed in other ways.

No random operator, and the same answer twice. Where its error is too large, the same file without
graph optimisation is a witness of what the optimiser does (`parity.results.witness`).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.chunking.folders import OpenFile, opened
from trufor_onnx.chunking.framing import GRAPH_NODE, MODEL_GRAPH, Walker
from trufor_onnx.errors import ChunkingError, ParityError, first_few
from trufor_onnx.export.graph.repeatable import ALWAYS, DROPOUTS, random_operators
from trufor_onnx.parity.results.metrics import mean_absolute_error
from trufor_onnx.parity.runners.base import Feeds, Outputs
from trufor_onnx.providers import CPU
from trufor_onnx.sessions import open_session, session_errors

Array = npt.NDArray[Any]

MODEL_FUNCTIONS = 25  # field of onnx.proto's ModelProto
LARGEST_NODE = 1 << 30  # bytes
# Kernels of a GPU may add up in another order each time: rounding, a share of the largest value.
ROUNDING_ELSEWHERE = 1e-5
SHOWN = 3


def randomness(path: Path) -> str:
    """Why a file is random by its operators, or "".

    onnx is imported only where an operator's name stands in the file at all.

    Raises:
        ParityError: such a name stands there, and onnx is not installed to look closer.
    """
    if not _mentions(path):
        return ""
    try:
        import onnx
    except ImportError as error:
        raise ParityError(
            f"{path}: it may hold random operators, and onnx is not here to look",
            hint="pip install onnx",
        ) from error
    found = random_operators(onnx.load(path, load_external_data=False))
    return f"the file is random: {first_few(found, SHOWN)}" if found else ""


def unsteady(first: Outputs, second: Outputs, provider: str) -> str:
    """Why two answers to one input are not the same, or "".

    Args:
        first: all outputs by name.
        second: those of a second run on the same inputs.
        provider: where it ran; on the CPU the answers must agree bit for bit.
    """
    for name in first.keys() | second.keys():
        if name not in first or name not in second:
            return f"the file gives {name} in one of two runs only"
        ours, theirs = first[name], second[name]
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            return f"the file differs from itself: two runs on one input give {name} in two shapes"
        if np.array_equal(ours, theirs, equal_nan=ours.dtype.kind in "fc"):
            continue
        far = _distance(ours, theirs)
        if provider == CPU or not far <= ROUNDING_ELSEWHERE:
            return (
                f"the file differs from itself: two runs on one input give {name} off by {far:.3g} "
                "of its largest value"
            )
    return ""


def _distance(ours: Array, theirs: Array) -> float:
    """The largest difference as a share of the largest value; NaN where there is none to take."""
    if ours.dtype.kind not in "fiu":
        return float("nan")
    first, second = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        return float(np.abs(first - second).max() / max(np.abs(first).max(), np.abs(second).max()))


def _mentions(path: Path) -> bool:
    """Whether the name of an operator that may be random stands in a node or a function."""
    names = {name for given in ALWAYS.values() for name in given} | {op for _, op in DROPOUTS}
    wanted = [name.encode() for name in names]
    try:
        with opened(path, follow_link=True) as file:
            return any(word in nodes for nodes in _nodes(file) for word in wanted)
    except (ChunkingError, OSError, ValueError) as error:
        reason = error.problem if isinstance(error, ChunkingError) else error
        raise ParityError(
            f"{path}: not a readable ONNX file ({reason})", hint="export it again"
        ) from error


def _nodes(file: OpenFile) -> list[bytes]:
    """Nodes and functions as they stand in the file, without the weights."""
    walker = Walker(file)
    found = []
    for model in walker.fields(0, file.size):
        if model.number == MODEL_FUNCTIONS:
            found.append(walker.content(model, LARGEST_NODE))
        elif model.number == MODEL_GRAPH:
            found += [
                walker.content(part, LARGEST_NODE)
                for part in walker.fields(model.body, model.end)
                if part.number == GRAPH_NODE
            ]
    return found


def mean_error(found: Outputs | None, reference: Outputs, output: str) -> float | None:
    """The mean absolute error of one output; None where there is none, or of another shape."""
    if found is None or output not in found or found[output].shape != reference[output].shape:
        return None
    error = mean_absolute_error(found[output], reference[output])
    return error if math.isfinite(error) else None


def size_of(reference: Outputs, output: str) -> float:
    """The root mean square of an output."""
    return float(np.sqrt(np.mean(np.square(reference[output], dtype=np.float64))))


def without_optimisation(path: Path, feeds: Feeds, *, threads: int) -> Outputs | None:
    """A file's outputs by ONNX Runtime on the CPU, its graph left as it is; None if it does not."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = open_session(path, options)
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))
    except session_errors(onnxruntime):
        return None
