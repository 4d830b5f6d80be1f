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
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

DEFAULT_SEED = "golden"

CONVOLUTION_GAIN = 6.0  # variance 2 / fan_in for a uniform draw: a ReLU follows most convolutions
LINEAR_GAIN = 3.0  # variance 1 / fan_in: no ReLU follows
LEAST_CONSTANT = 2  # elements: a single 0 or 1 may well be meant
LEAST_DRAW = 1000  # elements, below which chance explains too much
LEAST_NORMAL = 8192  # small trained tensors of narrow networks can pass for a normal draw
MOST_SORTED = 1 << 14  # elements that a distribution is judged by
MOST_ROWS = 256  # rows whose likeness is looked at
LEAST_ROWS = 8
# Of fresh draws about one in a thousand is missed by each of these.
DISTANCE = 1.95  # Kolmogorov and Smirnov's, times the root of the number of elements
DEVIATIONS = 4.0  # of how rows and columns may differ from each other
TRUNCATED = 0.87962566103423978  # the deviation of a normal draw that is cut at two deviations
FIRST = 16  # elements that are compared with the stand-in recipe's
Array = npt.NDArray[Any]
FAMILIES = ("a fresh uniform draw", "a fresh normal draw", "a fresh truncated normal draw")


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


def look_untrained(
    tensors: Mapping[str, torch.Tensor], *, prefix: str = "", known: Collection[str] = ()
) -> dict[str, str]:
    """Tensors that look untrained, with what they look like.

    Args:
        tensors: a network's, by its own names.
        prefix: what stands before these names in the whole network.
        known: names that are not looked at: stand-in values that somebody chose by name.
    """
    found = {}
    for name, tensor in tensors.items():
        if name in known or not tensor.is_floating_point():
            continue
        what = kind_of(tensor.detach().numpy()) or stand_in(tensor.detach().numpy(), prefix + name)
        if what:
            found[name] = what
    return found


def kind_of(array: Array) -> str:
    """What a fresh tensor's values look like, or "": ``all 1``, ``a fresh uniform draw``."""
    flat = array.reshape(-1)
    if flat.size >= LEAST_CONSTANT and flat[0] in (0.0, 1.0) and bool((flat == flat[0]).all()):
        return f"all {flat[0]:g}"
    if array.ndim < 2 or flat.size < LEAST_DRAW:
        return ""
    every = max(1, flat.size // MOST_SORTED)
    sample = np.sort(flat[::every].astype(np.float64))
    families = FAMILIES if flat.size >= LEAST_NORMAL else FAMILIES[:1]
    family = next((name for name in families if _distance(sample, name) < DISTANCE), "")
    return family if family and _independent(array) else ""


def stand_in(array: Array, name: str) -> str:
    """Whether a tensor begins as the stand-in recipe makes it from its usual seed."""
    begin = array.reshape(-1)[:FIRST]
    if array.size < FIRST:
        return ""
    same = np.array_equal(begin, stand_in_start(DEFAULT_SEED, name, array.shape, FIRST))
    return f"stand-in values (seed {DEFAULT_SEED})" if same else ""


def _distance(values: Array, family: str) -> float:
    """How far sorted values are from a family's distribution about 0: sqrt(n) times the worst."""
    most = float(np.abs(values[[0, -1]]).max())
    deviation = math.sqrt(float(values @ values) / values.size)
    if not (most > 0.0 and math.isfinite(most)):
        return math.inf
    if family == FAMILIES[0]:
        share = (values / most + 1.0) / 2.0
    elif family == FAMILIES[1]:
        share = _normal(values / deviation)
    else:
        scaled = values * (TRUNCATED / deviation)
        if most * TRUNCATED / deviation > 2.1:
            return math.inf
        tail = float(_normal(np.array([-2.0]))[0])
        share = np.clip((_normal(scaled) - tail) / (1.0 - 2.0 * tail), 0.0, 1.0)
    steps = np.arange(values.size + 1) / values.size
    worst = max(float((steps[1:] - share).max()), float((share - steps[:-1]).max()))
    return worst * math.sqrt(values.size)


def _independent(array: Array) -> bool:
    """Whether rows and columns differ as those of independent numbers do, and are not alike."""
    table = array.reshape(array.shape[0], -1).astype(np.float64)
    tables = [table, table.T]
    if array.ndim > 2:  # input channels of a convolution
        tables[1] = np.moveaxis(array, 1, 0).reshape(array.shape[1], -1).astype(np.float64)
    usual = [one for one in tables if min(one.shape) >= LEAST_ROWS]
    return bool(usual) and all(_rows_by_chance(one) for one in usual)


def _rows_by_chance(table: Array) -> bool:
    squares = table**2
    rows, columns = table.shape
    powers = squares.sum(axis=1)
    spread = float(squares.var()) * columns  # of a row's power, were its numbers independent
    freedom = math.sqrt(2.0 / (rows - 1))
    if not (spread > 0.0 and abs(float(powers.var(ddof=1)) / spread - 1.0) < DEVIATIONS * freedom):
        return False
    few = table[:: max(1, rows // MOST_ROWS)]
    few = few / np.sqrt((few**2).sum(axis=1, keepdims=True))
    likeness = (few @ few.T)[np.triu_indices(len(few), 1)]
    expected, pairs = 1.0 / columns, likeness.size
    # A squared cosine of independent rows has the mean 1 / columns, and about twice its square.
    worst = DEVIATIONS * expected * math.sqrt(2.0 / pairs)
    return bool(abs(float((likeness**2).mean()) - expected) < worst)


def _normal(values: Array) -> Array:
    """The standard normal distribution function, to 1e-7 (Abramowitz and Stegun 7.1.26)."""
    x = np.abs(values) / math.sqrt(2.0)
    t = 1.0 / (1.0 + 0.3275911 * x)
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    upper = 0.5 * series * np.exp(-(x**2))
    return np.where(values < 0.0, upper, 1.0 - upper)
