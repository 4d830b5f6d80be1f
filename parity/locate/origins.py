"""Which tensors of the state dict each initializer of an ONNX file was made of, and how sure.

In this order: what the file's own record says (metadata, or the lock beside it); the name, where
a tensor of that name and shape is in the state dict; the content, as it is or transposed; a
layer's weight with each output channel scaled, which is how a folded BatchNorm looks, also under
the layer's own name; numbers that are nearly those of one tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.documents import parse_json
from trufor_onnx.errors import ParityError
from trufor_onnx.export.graph.provenance import array_digest, is_constant
from trufor_onnx.export.lock import METADATA_KEY, read_lock
from trufor_onnx.export.weights.tensors import Weights
from trufor_onnx.parity.locate.candidate import Opened, names_read
from trufor_onnx.parity.locate.judge import error_of
from trufor_onnx.parity.locate.tape import Op, Ref, Tape

if TYPE_CHECKING:
    import onnx

NORMS = ("native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit_no_training")
LAYERS = ("convolution", "addmm", "mm", "linear")
NORM_TENSORS = 4  # weight, bias, mean, variance: its arguments after the data
LEAST_ELEMENTS = 9  # of an output channel; fewer are parallel by chance
LEAST_COSINE = 0.99  # of the median channel, so that a fault in some does not hide the layer
MISFIT = 1e-2  # likewise; 8-bit weights are within it
Array = npt.NDArray[Any]
RECORD, NAME, CONTENT, SCALED = "record", "name", "content", "scaled channels"
# What exporters and quantisers append to a tensor's name.
ENDINGS = ("_DequantizeLinear_Output", "_quantized", ".T", "_transposed")
# Which axis of a layer's weight counts output channels.
OUTPUT_AXIS = {"Conv": 0, "FusedConv": 0, "ConvTranspose": 1, "Gemm": 0, "MatMul": 1}
ARRANGES = ("Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
ALIKE = 0.05  # relative L2; 8-bit weights are within 0.02
LEAST_ALIKE = 64  # elements


@dataclass(frozen=True)
class Norm:
    """A BatchNorm behind a layer, as numbers.

    Attributes:
        biases: the layer's own bias, if it has one.
        tensors: the BatchNorm's tensors in the state dict.
        scaling: those that scale.
        scale: what each channel is multiplied by.
        shift: what the layer's bias becomes.
        size: the largest term of each channel's shift, for its rounding.
    """

    biases: tuple[str, ...]
    tensors: tuple[str, ...]
    scaling: tuple[str, ...]
    scale: Array
    shift: Array
    size: Array

    def misfit(self, array: Array, forms: Sequence[Array], axis: int, *, named: bool) -> float:
        """How far the median channel is from the layer's own times the scale; infinite if far.

        Args:
            array: an initializer.
            forms: the layer's weight in its axes, as it is or turned; empty where it has others.
            axis: of output channels.
            named: it has the layer's name: then it is scaled or not, whichever is nearer.
        """
        if array.shape[axis] != len(self.scale):
            return float("inf")
        left = _rows(array, axis)
        best = plain = float("inf")
        for form in forms:
            right = _rows(form, axis)
            squares, products = (right * right).sum(axis=1), (left * right).sum(axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                cosines = np.abs(products) / (np.linalg.norm(left, axis=1) * np.sqrt(squares))
                factors = products / squares
                scaled = float(np.nanmedian(np.abs(factors / self.scale - 1.0)))
                plain = min(plain, float(np.nanmedian(np.abs(factors - 1.0))))
            sure = left.shape[1] >= LEAST_ELEMENTS and np.nanmedian(cosines) >= LEAST_COSINE
            if named or (sure and scaled <= MISFIT):
                best = min(best, scaled)
        return best if not named or best <= plain else float("inf")


def _rows(array: Array, axis: int) -> Array:
    """An output channel a row, float64."""
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1).astype(np.float64)


def norms_after(tape: Tape, state: Mapping[str, Array]) -> dict[str, Norm]:
    """The BatchNorm behind each layer, by the name of the layer's weight.

    Args:
        tape: the recorded reference.
        state: its state dict.
    """
    found = {}
    for op in tape.ops:
        before = tape.producer.get(op.data[0]) if op.name in NORMS and op.data else None
        if before is None or before.name not in LAYERS:
            continue
        weights = [name for name in before.params if state[name].ndim > 1]
        if len(weights) != 1:
            continue
        norm = _norm(op, sorted(before.params - {weights[0]}), tape, state)
        if norm is not None:
            found[weights[0]] = norm
    return found


def _norm(op: Op, biases: list[str], tape: Tape, state: Mapping[str, Array]) -> Norm | None:
    _, arguments, _ = op.call
    eps = arguments[-1]
    given: list[Array] = []
    named: list[str] = []
    for argument, neutral in zip(
        arguments[1 : NORM_TENSORS + 1], (1.0, 0.0, 0.0, 1.0), strict=True
    ):
        names = tape.params_of.get(argument.tensor, ()) if isinstance(argument, Ref) else ()
        if argument is not None and len(names) != 1:
            return None
        named += names
        array = np.array(neutral) if argument is None else state[next(iter(names))]
        given.append(array.astype(np.float64))
    if not isinstance(eps, float) or not named or len(biases) > 1:
        return None
    weight, bias, mean, variance = given
    scale = weight / np.sqrt(variance + eps)
    own = state[biases[0]].astype(np.float64) if biases else np.zeros(1)
    shift = (own - mean) * scale + bias
    size = np.abs(own * scale) + np.abs(mean * scale) + np.abs(bias)
    scaling = {named[0], named[-1]} if arguments[1] is not None else {named[-1]}
    tensors = tuple(sorted(set(named)))
    return Norm(tuple(biases), tensors, tuple(sorted(scaling)), scale, shift, size)


@dataclass(frozen=True)
class Fold:
    """An initializer that a BatchNorm was folded into.

    Attributes:
        weight: the layer's weight in the state dict.
        norm: the BatchNorm.
        axis: of the initializer that counts output channels; None for the shift.
    """

    weight: str
    norm: Norm
    axis: int | None


@dataclass
class Origins:
    """Sources of initializers.

    Attributes:
        sources: tensors of the state dict, by initializer; the first is the main one.
        how: ``record``, ``name``, ``content`` or ``scaled channels``, by initializer.
        unknown: floating-point initializers of some size of which nothing is known.
        folded: those that hold a BatchNorm too, and which.
    """

    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    folded: dict[str, Fold] = field(default_factory=dict)

    def add(self, name: str, sources: tuple[str, ...], how: str) -> None:
        """Write one initializer down."""
        self.sources[name], self.how[name] = sources, how

    def counts(self) -> dict[str, int]:
        """How many initializers are known in which way."""
        kinds = list(self.how.values())
        counted = {kind: kinds.count(kind) for kind in (RECORD, NAME, CONTENT, SCALED)}
        return {**counted, "unknown": len(self.unknown)}


def find_origins(path: Path, opened: Opened, weights: Weights, tape: Tape) -> Origins:
    """Trace every initializer of a file to the reference's tensors.

    Args:
        path: the file, for the lock beside it.
        opened: the file.
        weights: the reference's.
        tape: the recorded reference, for which BatchNorm follows which layer.

    Raises:
        ParityError: the file's record says that it holds other weights, or nothing ties its
            weights to the reference's.
    """
    origins = Origins()
    recorded = _recorded(path, opened.proto, weights)
    state = {name: tensor.detach().cpu().numpy() for name, tensor in weights.tensors.items()}
    by_digest: dict[str, str] = {}
    for name, digest in weights.digests.items():
        by_digest.setdefault(digest, name)
    read = {name for node in opened.proto.graph.node for name in names_read(node)}
    arrays = {name: array for name, array in opened.arrays.items() if name in read}
    for name, array in arrays.items():
        root = opened.roots.get(name, name)
        if root in recorded:
            if recorded[root]:
                origins.add(name, recorded[root], RECORD)
        elif array.dtype.kind != "f":
            continue
        elif (base := _named(root, array, state)) is not None:
            origins.add(name, (base,), NAME)
        elif (array != array.flat[:1]).any():  # one number throughout is nobody's
            turned = array.transpose()
            digests = (array_digest(array), array_digest(np.ascontiguousarray(turned)))
            same = next((by_digest[d] for d in digests if d in by_digest), None)
            if same is not None:
                origins.add(name, (same,), CONTENT)
    _folded(opened.proto, arrays, state, tape, origins)
    _alike(arrays, state, origins)
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


def _named(name: str, array: Array, state: Mapping[str, Array]) -> str | None:
    """The tensor that an initializer is called after, if it has its axes."""
    base = name
    for ending in ENDINGS:
        base = base.removesuffix(ending)
    found = state.get(base)
    return base if found is not None and sorted(found.shape) == sorted(array.shape) else None


def _alike(arrays: Mapping[str, Array], state: Mapping[str, Array], origins: Origins) -> None:
    """Tensors without a name that are nearly one of the network's: one weight off, or 8 bits."""
    taken = {source for sources in origins.sources.values() for source in sources}
    for name, array in arrays.items():
        if name in origins.sources or array.dtype.kind != "f" or array.size < LEAST_ALIKE:
            continue
        best = ALIKE, ""
        for own, tensor in state.items():
            if own in taken or sorted(tensor.shape) != sorted(array.shape):
                continue
            forms = [form for form in (tensor, tensor.transpose()) if form.shape == array.shape]
            best = min([best, *((error_of(array, f.astype(float)).rel_l2, own) for f in forms)])
        if best[1]:
            taken.add(best[1])
            origins.add(name, (best[1],), CONTENT)


def _recorded(path: Path, proto: onnx.ModelProto, weights: Weights) -> dict[str, tuple[str, ...]]:
    """What the file's own record says, by the network's names; nothing where it has none."""
    text = next((p.value for p in proto.metadata_props if p.key == METADATA_KEY), None)
    try:
        document = read_lock(path) if text is None else parse_json(text)
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
    """Layers whose weight is one of the network's with each output channel scaled by a BatchNorm.

    An exporter may leave the weight its name, so that a name proves nothing here.
    """
    norms = norms_after(tape, state)
    taken = {source for sources in origins.sources.values() for source in sources}
    normed = _normed(proto)
    for node in proto.graph.node:
        if node.op_type not in OUTPUT_AXIS or node.output[0] in normed:
            continue
        weight = node.input[1]
        if weight not in arrays or origins.how.get(weight) == RECORD:
            continue
        known = origins.sources.get(weight, ("",))[0]
        axis = OUTPUT_AXIS[node.op_type]
        if node.op_type == "Gemm":
            axis = 1 - next((a.i for a in node.attribute if a.name == "transB"), 0)
        best = np.inf, ""
        for name in [known] if known else [name for name in norms if name not in taken]:
            norm = norms.get(name)
            if norm is not None:
                forms = _forms(state[name], arrays[weight])
                misfit = norm.misfit(arrays[weight], forms, axis, named=bool(known))
                best = min(best, (misfit, name))
        if best[1]:
            name, norm = best[1], norms[best[1]]
            taken.add(name)
            origins.add(weight, (name, *norm.scaling), SCALED)
            origins.folded[weight] = Fold(name, norm, axis)
            if len(node.input) > 2 and node.input[2] in arrays:
                origins.add(node.input[2], (*norm.biases, *norm.tensors), SCALED)
                origins.folded[node.input[2]] = Fold(name, norm, None)
            else:  # a BatchNorm without a shift leaves nothing of it
                origins.sources[weight] = (name, *norm.biases, *norm.tensors)


def _forms(own: Array, array: Array) -> list[Array]:
    """A tensor of the network in the axes of an initializer; a square matrix has two forms."""
    forms = [own, own.T] if own.ndim == array.ndim == 2 else [own]
    return [form for form in forms if form.shape == array.shape]


def _normed(proto: onnx.ModelProto) -> set[str]:
    """Tensors that a BatchNormalization of the file reads, perhaps in another arrangement."""
    makers = {name: node for node in proto.graph.node for name in node.output}
    found = set()
    for node in proto.graph.node:
        if node.op_type == "BatchNormalization":
            name = node.input[0]
            found.add(name)
            while name in makers and makers[name].op_type in ARRANGES:
                name = makers[name].input[0]
                found.add(name)
    return found
