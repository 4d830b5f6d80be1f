"""Stand-in weights: values that any machine can rebuild bit for bit from a seed.

They exist so that everything but the published weights themselves can be tested and shown. Each
value depends on the seed (any string), on the tensor's name *in the whole network* (a part built
alone uses the same names, with its prefix) and on the shape; no random generator is involved.

The recipe: SHAKE-256 of ``"{seed}/{name}"`` gives four bytes an element; the upper 24 bits of
each little-endian word, divided by 2**23, minus 1, are exact float32 in [-1, 1). What that draw
then means depends on the kind of tensor (`stand_in_tensor`). The numbers keep activations in the
range of a trained network.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

DEFAULT_SEED = "golden"

CONVOLUTION_GAIN = 6.0  # variance 2 / fan_in for a uniform draw: a ReLU follows most convolutions
LINEAR_GAIN = 3.0  # variance 1 / fan_in: no ReLU follows


def uniform(seed: str, name: str, count: int) -> npt.NDArray[np.float32]:
    """``(count,)`` float32 in [-1, 1): the draw for the tensor called ``name``."""
    raw = hashlib.shake_256(f"{seed}/{name}".encode()).digest(4 * count)
    upper = np.frombuffer(raw, dtype="<u4") >> np.uint32(8)
    return upper.astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)


def stand_in_start(
    seed: str, name: str, shape: tuple[int, ...], count: int
) -> npt.NDArray[np.float32]:
    """The first ``count`` values of `stand_in_tensor`, without making the rest; float32."""
    return _scaled(uniform(seed, name, count), name, shape)


def stand_in_tensor(seed: str, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The stand-in value of one tensor.

    Args:
        seed: any string.
        name: the name in the whole network, such as ``backbone.block1.0.attn.q.weight``.
        shape: the tensor's shape.

    Returns:
        float32 of ``shape``, also where that is ``()``; int64 zeros for ``num_batches_tracked``.
    """
    if name.rpartition(".")[2] == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    draw = uniform(seed, name, math.prod(shape))
    # NumPy makes a bare number of an array without dimensions.
    return np.asarray(_scaled(draw, name, shape), np.float32).reshape(shape)


def _scaled(
    draw: npt.NDArray[np.float32], name: str, shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """What a draw means for the kind of tensor; any number of its first values."""
    kind = name.rpartition(".")[2]
    match kind, len(shape):
        case "running_mean", _:
            return np.float32(0.1) * draw
        case "running_var", _:
            return np.float32(1.0) + np.float32(0.5) * draw
        case "bias", _:
            return np.float32(0.05) * draw
        case _, 0 | 1:  # the scale of a normalisation layer, or of all that follows
            return np.float32(1.0) + np.float32(0.2) * draw
        case _, rank:
            gain = CONVOLUTION_GAIN if rank == 4 else LINEAR_GAIN
            return np.float32(math.sqrt(gain / (math.prod(shape[1:]) or 1))) * draw


def stand_in_state(
    seed: str, shapes: Mapping[str, tuple[int, ...]], *, prefix: str = ""
) -> dict[str, npt.NDArray[Any]]:
    """Stand-in values for all tensors of a network or of a part of one.

    Args:
        seed: any string.
        shapes: shape by the tensor's name in this network.
        prefix: what stands before these names in the whole network, such as ``backbone.``.
    """
    return {name: stand_in_tensor(seed, prefix + name, shape) for name, shape in shapes.items()}
