"""BatchNorms of the reference that an exporter may have folded into the layer before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.locate.tape import Op, Ref, Tape

Array = npt.NDArray[Any]
NORMS = ("native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit_no_training")
LAYERS = ("convolution", "addmm", "mm", "linear")
NORM_TENSORS = 4  # weight, bias, mean, variance: its arguments after the data
LEAST_ELEMENTS = 9  # of an output channel; fewer are parallel by chance
LEAST_COSINE = 0.99  # of the median channel, so that a fault in some does not hide the layer
MISFIT = 1e-2  # likewise; 8-bit weights are within it


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
