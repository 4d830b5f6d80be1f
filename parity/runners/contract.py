"""What a file says that it takes and gives, held against what the run gives it and expects.

A file with channels last, of bytes, or made for another preprocessing computes something else on
the run's inputs. Each of these is said before anything is compared, with the axis or the figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.documents import parse_json
from trufor_onnx.errors import ParityError
from trufor_onnx.export.graph.finish import PREPROCESSING_KEY
from trufor_onnx.export.lock import METADATA_KEY
from trufor_onnx.export.networks.spec import ModelSpec, Preprocessing, TensorSpec
from trufor_onnx.parity.runners.base import Feeds, Outputs

if TYPE_CHECKING:
    import onnx

# As ONNX Runtime writes types, where numpy writes them otherwise.
KINDS = {"float32": "tensor(float)", "float64": "tensor(double)"}
NEAR = 0.01  # relative: 1 / 255 and 1 / 256 are not told apart, both undo what the run did
LONGEST_START = 8  # nodes between the input and the network
MAP_HINT = (
    "put a Transpose with perm {perm} before its first node, or export it with "
    "channels first: docs/troubleshooting.md, 'Channels last'"
)
BYTES_HINT = (
    "it prepares pictures by itself, and the run prepares them too: judge the file without that "
    "part, whose input is float32 as the network's: docs/troubleshooting.md, 'Preprocessing in "
    "the file'"
)

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Port:
    """An input of a file.

    Attributes:
        name: its name.
        kind: as ONNX Runtime writes it, ``tensor(float)``.
        axes: sizes; a name or None where one is free.
    """

    name: str
    kind: str
    axes: tuple[int | str | None, ...]


@dataclass(frozen=True)
class Contract:
    """What a file says of itself.

    Attributes:
        inputs: in the file's order.
        outputs: names, in the file's order.
        metadata: what its exporter wrote into it.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    metadata: Mapping[str, str]


def require_inputs(path: Path, spec: ModelSpec, inputs: Sequence[Port]) -> None:
    """Refuse a file that does not take what the run gives.

    Raises:
        ParityError: its inputs have other names, another type, other axes than the network's, or
            their channels elsewhere.
    """
    wanted = {tensor.name: tensor for tensor in spec.inputs}
    names = [port.name for port in inputs]
    if set(names) != set(wanted):
        raise ParityError(
            f"{path}: its inputs are {', '.join(names)}; {spec.name} has "
            f"{', '.join(sorted(wanted))}",
            hint="it is another network's file, or its inputs were renamed",
        )
    for port in inputs:
        tensor, where = wanted[port.name], f"{path}: its input {port.name}"
        _require_axes(where, port, tensor)
        given = KINDS.get(tensor.dtype, f"tensor({tensor.dtype})")
        if port.kind != given:
            whole = "int" in port.kind
            raise ParityError(
                f"{where} is {port.kind}, the run gives {given}",
                hint=BYTES_HINT
                if whole
                else "keep its inputs and outputs float32, as our fp16 "
                "variant does (keep_io_types=True in onnxconverter_common)",
            )


def _require_axes(where: str, port: Port, tensor: TensorSpec) -> None:
    if not port.axes and tensor.axes:
        return  # the file says nothing of its shape
    shape = f"({', '.join(map(str, port.axes))})"
    expected = f"({', '.join(map(str, tensor.axes))})"
    if len(port.axes) != len(tensor.axes):
        raise ParityError(
            f"{where} has {len(port.axes)} axes, {shape}; the network's has {len(tensor.axes)}, "
            f"{expected}",
            hint="export it with the network's axes",
        )
    for index, (got, wanted) in enumerate(zip(port.axes, tensor.axes, strict=True)):
        last = len(tensor.axes) - 1
        if not isinstance(wanted, int) or got == wanted:
            continue
        channels_last = index == 1 and last > 1 and port.axes[last] == wanted != tensor.axes[last]
        if not isinstance(got, int) and not channels_last:
            continue  # free, or not said
        perm = (0, *range(2, last + 1), 1)
        raise ParityError(
            f"{where} takes {'channels last, ' if channels_last else ''}{shape}: axis {index} is "
            f"{got} there, the run gives {wanted} {expected}",
            hint=MAP_HINT.format(perm=perm) if channels_last else "export it with these sizes",
        )


def refuse_channels_last(
    path: Path, run: Callable[[Feeds], Outputs], feeds: Feeds, error: ParityError
) -> None:
    """Say that a file takes channels last, where it does not say so itself: it is tried.

    Args:
        path: the file.
        run: runs it; it did not on ``feeds``.
        feeds: the network's inputs, (B, C, H, W) those that are pictures.
        error: why it did not.

    Raises:
        ParityError: it runs with channels last.
    """
    pictures = [name for name, array in feeds.items() if array.ndim == 4]
    turned = feeds | {
        name: np.ascontiguousarray(feeds[name].transpose(0, 2, 3, 1)) for name in pictures
    }
    try:
        run(turned)
    except ParityError:
        return
    shapes = ", ".join(f"{name} {array.shape}" for name, array in turned.items())
    raise ParityError(
        f"{path}: it takes channels last: {shapes} runs, and the run's own inputs do not "
        f"({error.problem})",
        hint=MAP_HINT.format(perm=(0, 2, 3, 1)),
    )


def contradiction(metadata: Mapping[str, str], preprocessing: Preprocessing) -> str:
    """Why a file was not made for the run's preprocessing, by its own word, or "".

    A file that says nothing of it is judged as the run's options say.

    Args:
        metadata: the file's.
        preprocessing: how the run makes the first input.
    """
    run = preprocessing.document()
    for said in _said(metadata):
        if not isinstance(said, dict):
            return "the file's metadata says of preprocessing what cannot be read"
        different = [key for key in sorted(run | said) if said.get(key) != run.get(key)]
        if different:
            theirs = ", ".join(f"{key} {said.get(key)}" for key in different)
            ours = ", ".join(f"{key} {run.get(key)}" for key in different)
            return (
                f"the file says that it was made for {theirs}, the run prepares pictures with "
                f"{ours}: leave out --pixel-scale, or judge a file that was made for it"
            )
    return ""


def _said(metadata: Mapping[str, str]) -> list[Any]:
    """What the file says of its preprocessing, in each place where it does."""
    found: list[Any] = []
    for key in (PREPROCESSING_KEY, METADATA_KEY):
        if key not in metadata:
            continue
        try:
            document = parse_json(metadata[key])
        except ValueError:
            document = None
        if key == METADATA_KEY and isinstance(document, dict):
            document = document.get("preprocessing")
        found.append(document)
    return found


def order_note(file: str, spec: ModelSpec, outputs: Sequence[str]) -> str:
    """Says that a file gives the network's outputs in another order, or "".

    They are judged by name; who reads them by position gets others.
    """
    wanted = [tensor.name for tensor in spec.outputs]
    own = [name for name in outputs if name in wanted]
    if own == [name for name in wanted if name in own]:
        return ""
    return (
        f"{file}: outputs are judged by name; the file gives them in another order: "
        f"{', '.join(outputs)} (the network: {', '.join(wanted)})"
    )


def start_note(path: Path, name: str, preprocessing: Preprocessing) -> str:
    """Says that a file's graph begins by doing what the run has done already, or "".

    Args:
        path: the file.
        name: of the first input.
        preprocessing: how the run makes that input.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        return ""  # with a bundle neither onnx nor torch is needed
    graph = onnx.load(path, load_external_data=False).graph
    factor, shift = _start(graph, name)
    scale, mean, std = (
        np.asarray(part, np.float64)
        for part in (preprocessing.scale, preprocessing.mean, preprocessing.std)
    )
    scaled, normalised = scale > 1.0, not (np.all(mean == 0.0) and np.all(std == 1.0))
    repeated = {
        f"dividing by {preprocessing.scale:g}": (scaled, 1.0 / scale, 0.0 * mean),
        "subtracting the mean and dividing by std": (normalised, 1.0 / std, -mean / std),
        "scaling and normalising": (scaled and normalised, 1.0 / (scale * std), -mean / std),
    }
    for what, (done, a, b) in repeated.items():
        if done and _near(factor, a) and _near(shift, b):
            return (
                f"{path.name}: its graph begins by {what}, which the run has done already, so that "
                "its pictures are prepared twice; judge it without that part"
            )
    return ""


def _near(found: Numbers, wanted: Numbers) -> bool:
    return bool(np.all(np.abs(found - wanted) <= NEAR * np.abs(wanted) + 1e-12))


def _start(graph: onnx.GraphProto, name: str) -> tuple[Numbers, Numbers]:
    """``factor * x + shift`` that a graph does to an input before anything else, a channel each."""
    constants = _constants(graph)
    factor, shift = np.ones(3), np.zeros(3)
    for _ in range(LONGEST_START):
        readers = [node for node in graph.node if name in node.input]
        if len(readers) != 1 or len(readers[0].output) != 1:
            break
        node = readers[0]
        if node.op_type not in ("Cast", "Identity", "Transpose"):
            position = list(node.input).index(name)
            other = constants.get(node.input[1 - position]) if len(node.input) == 2 else None
            done = None if other is None else _applied(node.op_type, position, other, factor, shift)
            if done is None:
                break
            factor, shift = done
        name = node.output[0]
    return factor, shift


def _applied(
    operator: str, position: int, other: Numbers, factor: Numbers, shift: Numbers
) -> tuple[Numbers, Numbers] | None:
    """The two after one more operator; None where it is none of these."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if operator == "Mul":
            return factor * other, shift * other
        if operator == "Add":
            return factor, shift + other
        if operator == "Div" and position == 0:
            return factor / other, shift / other
        if operator == "Sub":
            sign = 1.0 if position == 0 else -1.0
            return sign * factor, sign * (shift - other)
    return None


def _constants(graph: onnx.GraphProto) -> dict[str, Numbers]:
    """Constants of one number, or of three along one axis."""
    import onnx

    given = list(graph.initializer)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            tensor = onnx.TensorProto()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            given.append(tensor)
    found = {}
    for tensor in given:
        inside = tensor.data_location != onnx.TensorProto.EXTERNAL
        if inside and math.prod(tensor.dims) in (1, 3):
            found[tensor.name] = onnx.numpy_helper.to_array(tensor).astype(np.float64).ravel()
    return found
