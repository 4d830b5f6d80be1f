"""Tie tensors of the candidate to the reference's values: by weights, then by content."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.parity.locate.judge import error_of, find_layout
from trufor_onnx.parity.locate.origins import Origins
from trufor_onnx.parity.locate.replay import reachable
from trufor_onnx.parity.locate.tape import Op, Tape

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]
# Relative L2 below which a tensor is the reference's value, if it was computed from the same ones.
AGREES = {"8 bits": 5e-2, "float16": 4e-3, "float32": 1e-4}
CLEARLY = 0.1  # as far from a value as from the first that reads the weights: it is that value
LEAST_ELEMENTS = 64  # of a tensor that is tied by nothing but its content
WITH_WEIGHTS = ("Conv", "FusedConv", "ConvTranspose", "MatMul", "FusedMatMul", "Gemm", "FusedGemm",
                "LayerNormalization", "BatchNormalization")  # fmt: skip
KINDS = ("convolution", "_convolution", "mkldnn_convolution", "addmm", "mm", "bmm", "linear",
         "native_layer_norm", "native_batch_norm")  # fmt: skip


class Matcher:
    """Knows the reference and where the candidate's weights are from.

    Args:
        tape: the recorded reference.
        origins: sources of the candidate's initializers.
    """

    def __init__(self, tape: Tape, origins: Origins) -> None:
        self._tape = tape
        self._origins = origins
        self._readers: dict[str, list[Op]] = defaultdict(list)
        for op in tape.ops:
            for name in op.params:
                self._readers[name].append(op)
        self._by_size: dict[int, list[int]] = defaultdict(list)
        for value in tape.producer:
            self._by_size[tape.size(value)].append(value)
        self._prints: dict[int, Array] = {}

    def params(self, node: onnx.NodeProto) -> frozenset[str]:
        """Tensors of the state dict that a node reads."""
        sources = self._origins.sources
        return frozenset(
            source
            for name in node.input
            for source in sources.get(name, ())
            if source in self._readers
        )

    def match(
        self,
        array: Array,
        since: frozenset[int],
        params: frozenset[str],
        *,
        half: bool = False,
        eight: bool = False,
    ) -> tuple[int, str] | None:
        """The reference's value that a tensor is, and how that is known.

        Args:
            array: the tensor, computed from the reference's values ``since``.
            since: those.
            params: the tensors of the state dict that took part.
            half: float16 numbers took part.
            eight: 8-bit numbers took part.
        """
        candidates = [
            value
            for value in reachable(self._tape, since, params)
            if self._tape.size(value) == array.size
        ]
        limit = AGREES["8 bits" if eight and params else "float16" if half else "float32"]
        if candidates:
            errors = {value: self._distance(array, value) for value in candidates}
            best = min(errors, key=lambda value: errors[value])
            if errors[best] <= limit:
                if not params and self._is_unchanged(array, since, errors[best]):
                    return None  # an Expand of one, before the epsilon is added to it
                return best, "weights" if params else "values"
            if params:  # a fault is in it; it is that value all the same
                clear = errors[best] < CLEARLY * errors[candidates[0]]
                return best if clear else candidates[0], "weights"
            return None
        return self._anywhere(array, since, limit)

    def input_of(self, node: onnx.NodeProto) -> tuple[str, int] | None:
        """The data input of a node with weights, and the value that the reference reads there.

        Only where one operator of the reference reads that weight, and what else went into the
        weight (a BatchNorm) comes after it: then nothing was folded into it from before.
        """
        if node.op_type not in WITH_WEIGHTS:
            return None
        sources = self._origins.sources
        at = next((i for i, name in enumerate(node.input[:2]) if name in sources), None)
        if at is None:
            return None
        main, *others = sources[node.input[at]]
        readers = self._readers.get(main, [])
        if len(readers) != 1 or readers[0].name not in KINDS or len(readers[0].data) != 1:
            return None
        if any(op.index < readers[0].index for name in others for op in self._readers[name]):
            return None
        return node.input[1 - at], readers[0].data[0]

    def _is_unchanged(self, array: Array, since: frozenset[int], distance: float) -> bool:
        """Whether a tensor is rather one of the values that it was computed from."""
        same = [v for v in since if self._tape.size(v) == array.size]
        return any(self._distance(array, value) < distance for value in same)

    def _distance(self, array: Array, value: int) -> float:
        reference = self._tape.array(value)
        layout = find_layout(reference, array)
        return error_of(array, layout.arrange(reference, array.shape)).rel_l2

    def _anywhere(
        self, array: Array, since: frozenset[int], limit: float
    ) -> tuple[int, str] | None:
        """A later value of the reference with this content; where weights do not tell."""
        if array.size < LEAST_ELEMENTS:
            return None
        producers = (self._tape.producer.get(value) for value in since)
        after = max((op.index for op in producers if op is not None), default=-1)
        own = _print(array)
        for value in self._by_size[array.size]:
            if self._tape.producer[value].index <= after or value in since:
                continue
            if value not in self._prints:
                self._prints[value] = _print(self._tape.array(value))
            scale = self._prints[value][-1]
            close = np.abs(own - self._prints[value]).max() <= 10 * limit * scale
            if close and self._distance(array, value) <= limit:
                return value, "values"
        return None


def _print(array: Array) -> Array:
    """Mean and root mean square: the same in every arrangement."""
    wide = array.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.array([wide.mean(), np.sqrt(np.square(wide).mean())])
