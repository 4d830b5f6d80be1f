"""Which tensors of the state dict each initializer of an ONNX file was made of, and how sure.

In this order: what the file's own record says (metadata, or the lock beside it); the name, where
a tensor of that name and shape is in the state dict; the content, as it is or transposed; a
convolution's weight with each output channel scaled, which is how a folded BatchNorm looks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from export.lock import METADATA_KEY, read_lock
from export.provenance import array_digest, is_constant
from export.weights import Weights
from parity.errors import ParityError
from parity.locate.tape import Op, Tape

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]
RECORD, NAME, CONTENT, SCALED = "record", "name", "content", "scaled channels"
LEAST_COSINE = 0.9999
SCALE_AGREES = 1e-3  # the median channel; a fault in some channels must not hide the layer
NORM = "native_batch_norm"
NORM_TENSORS = 4  # weight, bias, mean, variance: its arguments after the data
LEAST_ELEMENTS = 9  # of an output channel; fewer are parallel by chance


@dataclass
class Origins:
    """Sources of initializers.

    Attributes:
        sources: tensors of the state dict, by initializer; the first is the main one.
        how: ``record``, ``name``, ``content`` or ``scaled channels``, by initializer.
        unknown: floating-point initializers of some size of which nothing is known.
    """

    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def add(self, name: str, sources: tuple[str, ...], how: str) -> None:
        """Write one initializer down."""
        self.sources[name], self.how[name] = sources, how

    def counts(self) -> dict[str, int]:
        """How many initializers are known in which way."""
        kinds = list(self.how.values())
        counted = {kind: kinds.count(kind) for kind in (RECORD, NAME, CONTENT, SCALED)}
        return {**counted, "unknown": len(self.unknown)}


def find_origins(
    path: Path, proto: onnx.ModelProto, arrays: Mapping[str, Array], weights: Weights, tape: Tape
) -> Origins:
    """Trace every initializer of a file to the reference's tensors.

    Args:
        path: the file, for the lock beside it.
        proto: the file.
        arrays: its initializers.
        weights: the reference's.
        tape: the recorded reference, for which BatchNorm follows which convolution.

    Raises:
        ParityError: the file's record says that it holds other weights, or nothing ties its
            weights to the reference's.
    """
    origins = Origins()
    recorded = _recorded(path, proto, weights)
    state = {name: tensor.detach().cpu().numpy() for name, tensor in weights.tensors.items()}
    by_digest: dict[str, str] = {}
    for name, digest in weights.digests.items():
        by_digest.setdefault(digest, name)
    for name, array in arrays.items():
        base = name.removesuffix(".T")
        if name in recorded:
            if recorded[name]:
                origins.add(name, recorded[name], RECORD)
        elif array.dtype.kind != "f":
            continue
        elif base in state and sorted(state[base].shape) == sorted(array.shape):
            origins.add(name, (base,), NAME)
        elif (array != array.flat[:1]).any():  # one number throughout is nobody's
            turned = array.transpose()
            digests = (array_digest(array), array_digest(np.ascontiguousarray(turned)))
            same = next((by_digest[d] for d in digests if d in by_digest), None)
            if same is not None:
                origins.add(name, (same,), CONTENT)
    _folded(proto, arrays, state, tape, origins)
    origins.unknown = [
        name
        for name, array in arrays.items()
        if array.dtype.kind == "f" and not is_constant(array) and name not in origins.sources
    ]
    if not origins.sources:
        raise ParityError(
            f"{path}: none of its initializers can be traced to the reference's weights",
            hint="it is another network's file, or holds other weights; name them with --weights",
        )
    return origins


def _recorded(path: Path, proto: onnx.ModelProto, weights: Weights) -> dict[str, tuple[str, ...]]:
    """What the file's own record says, by the network's names; nothing where it has none."""
    text = next((p.value for p in proto.metadata_props if p.key == METADATA_KEY), None)
    try:
        document = read_lock(path) if text is None else json.loads(text)
        if document is None:
            return {}
        if document["weights"]["digest"] != weights.digest:
            raise ParityError(
                f"{path}: it holds {document['weights']['label']}, the reference runs with "
                f"{weights.label}",
                hint="name the file's own weights with --weights or --stand-in",
            )
        own = {weights.sources.get(name, name): name for name in weights.tensors}
        return {
            entry["name"]: tuple(
                weights.tied.get(n, n) for n in (own.get(s, s) for s in entry["sources"])
            )
            for entry in document["initializers"]
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ParityError(
            f"{path}: its record of weights cannot be read ({type(error).__name__}: {error})",
            hint=f"remove the metadata entry {METADATA_KEY}, or export again",
        ) from error


def _folded(
    proto: onnx.ModelProto,
    arrays: Mapping[str, Array],
    state: Mapping[str, Array],
    tape: Tape,
    origins: Origins,
) -> None:
    """Convolutions whose weight is one of the network's with each output channel scaled."""
    norms = _norms_after(tape)
    taken = {source for sources in origins.sources.values() for source in sources}
    for node in proto.graph.node:
        inputs = list(node.input)
        if node.op_type != "Conv" or inputs[1] in origins.sources or inputs[1] not in arrays:
            continue
        array = arrays[inputs[1]]
        for name, (own, norm) in norms.items():
            if name in taken or state[name].shape != array.shape:
                continue
            if _is_scaled(array, state[name], _scale(norm, tape, state)):
                taken.add(name)
                origins.add(inputs[1], (name, *own), SCALED)
                if len(inputs) > 2:
                    origins.add(inputs[2], own, SCALED)
                break


def _norms_after(tape: Tape) -> dict[str, tuple[tuple[str, ...], Op]]:
    """For each convolution's weight: its bias, and the tensors of the BatchNorm behind it."""
    found = {}
    for op in tape.ops:
        if op.name != NORM or len(op.params) != NORM_TENSORS:
            continue
        before = tape.producer.get(op.data[0])
        if before is None or before.name != "convolution":
            continue
        weight = [name for name in before.params if name.endswith("weight")]
        if len(weight) == 1:
            others = before.params - {weight[0]}
            found[weight[0]] = (*sorted(others), *sorted(op.params)), op
    return found


def _scale(norm: Op, tape: Tape, state: Mapping[str, Array]) -> Array:
    """What a BatchNorm multiplies each channel by."""
    _, arguments, _ = norm.call
    names = [next(iter(tape.params_of[ref.tensor])) for ref in arguments[1 : NORM_TENSORS + 1]]
    weight, _, _, variance = (state[name].astype(np.float64) for name in names)
    scale: Array = weight / np.sqrt(variance + float(arguments[-1]))
    return scale


def _is_scaled(array: Array, own: Array, scale: Array) -> bool:
    """Each output channel is the network's times a number, for most channels the right one."""
    left = array.reshape(len(array), -1).astype(np.float64)
    right = own.reshape(len(own), -1).astype(np.float64)
    squares = (right * right).sum(axis=1)
    products = (left * right).sum(axis=1)
    lengths = np.linalg.norm(left, axis=1) * np.sqrt(squares)
    if left.shape[1] < LEAST_ELEMENTS or not (np.abs(products) >= LEAST_COSINE * lengths).all():
        return False
    with np.errstate(invalid="ignore", divide="ignore"):
        return bool(np.nanmedian(np.abs(products / squares / scale - 1.0)) <= SCALE_AGREES)
