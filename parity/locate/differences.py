"""Numbers in the file that are not the network's, whether or not a picture shows it.

A single weight that is off by 0.1 %, or an epsilon of 1e-5 in place of 1e-6, moves an output by
less than rounding does. So what is tied to one tensor of the network is compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from parity.locate.candidate import Opened
from parity.locate.origins import Origins
from parity.locate.tape import Op

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]
# Relative: a copy is exact; of a folded tensor, each float32 exporter rounds a few times.
COPIED = {"float64": 1e-6, "float32": 1e-6, "float16": 1e-3}
FOLDED = {"float64": 2e-5, "float32": 2e-5, "float16": 2e-3}
FEW = 0.5  # a fault in a tensor's own numbers leaves more of them than this as they were
SHOWN = 3
NORM_NODES = ("LayerNormalization", "SkipLayerNormalization", "BatchNormalization",
              "InstanceNormalization", "GroupNormalization", "RMSNormalization")  # fmt: skip
LARGEST_EPS = 1.1e-2
EPS_AGREES = 1e-3  # relative; float32 keeps 6e-8
EPS_OF = {"native_layer_norm": 4, "native_group_norm": 7, "native_batch_norm": -1,
          "_native_batch_norm_legit_no_training": -1, "cudnn_batch_norm": -1}  # fmt: skip


def weights_that_differ(
    opened: Opened, origins: Origins, state: Mapping[str, Array]
) -> dict[str, str]:
    """Initializers of which some numbers are not the network's, each with which.

    Where most of a tensor's numbers differ, an exporter may have multiplied something into it:
    then what the part computes decides, not this.

    Args:
        opened: the file.
        origins: which tensors its initializers were made of.
        state: the network's state dict.
    """
    found = {}
    for name, sources in origins.sources.items():
        array = opened.arrays.get(name)
        kind = "" if array is None else opened.stored(name).name
        if array is None or kind not in COPIED:  # 8-bit numbers are never the network's
            continue
        fold = origins.folded.get(name)
        if fold is not None:
            expected, size = _folded(array, state[fold.weight], fold)
            limit = FOLDED[kind]
        elif len(sources) == 1 and sources[0] in state:
            expected = size = _arranged(state[sources[0]], array)
            limit = COPIED[kind]
        else:
            continue
        if expected is None or size is None:
            continue
        scale = np.maximum(np.abs(size), np.finfo(kind).tiny)
        wrong = ~(np.abs(array.astype(np.float64) - expected) <= limit * scale)
        if 0 < wrong.sum() <= FEW * wrong.size:
            found[name] = _said(sources[0], array, expected, wrong)
    return found


def epsilons_that_differ(
    nodes: Sequence[onnx.NodeProto], ops: Sequence[Op], constant: Callable[[str], Array | None]
) -> Iterator[str]:
    """Epsilons of a part's norms that are not the network's.

    Args:
        nodes: what the file computes there.
        ops: what the network computes there.
        constant: the value of an initializer, or None.
    """
    norms = [op for op in ops if op.name in EPS_OF]
    wanted = [_argument(op) for op in norms]
    for node in nodes:
        eps: float | None = None
        if node.op_type in NORM_NODES:
            eps = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        elif node.op_type == "Add" and len(norms) == len([op for op in ops if op.params]):
            given = [constant(name) for name in node.input]
            small = [float(a.flat[0]) for a in given if a is not None and a.size == 1]
            eps = next((value for value in small if 0.0 < value <= LARGEST_EPS), None)
        if eps is None or not wanted:
            continue
        if not any(abs(eps - one) <= EPS_AGREES * one for one in wanted if one is not None):
            shown = ", ".join(f"{one:g}" for one in dict.fromkeys(wanted) if one is not None)
            yield f"epsilon {eps:g} in the file, {shown} in the network"


def _argument(op: Op) -> float | None:
    _, arguments, _ = op.call
    value = arguments[EPS_OF[op.name]]
    return float(value) if isinstance(value, float | int) else None


def _arranged(own: Array, array: Array) -> Array | None:
    """A tensor in an initializer's axes: as it is, or as a matrix turned, whichever is nearer."""
    forms = [form for form in (own, own.transpose()) if form.shape == array.shape]
    if not forms and own.size == array.size and array.ndim != own.ndim:
        forms = [own.reshape(array.shape)]
    wide = [form.astype(np.float64) for form in forms]
    return min(wide, key=lambda form: float(np.abs(array - form).sum()), default=None)


def _folded(array: Array, own: Array, fold: Any) -> tuple[Array | None, Array | None]:
    if fold.axis is None:
        same = array.shape == fold.norm.shift.shape
        return (fold.norm.shift, fold.norm.size) if same else (None, None)
    form = own if own.shape == array.shape else own.transpose()
    if form.shape != array.shape:
        return None, None
    axes = [1] * array.ndim
    axes[fold.axis] = -1
    expected = form.astype(np.float64) * fold.norm.scale.reshape(axes)
    return expected, expected


def _said(source: str, array: Array, expected: Array, wrong: npt.NDArray[np.bool_]) -> str:
    count = int(wrong.sum())
    shown = []
    for at in np.argwhere(wrong)[:SHOWN]:
        place = tuple(int(i) for i in at)
        found, own = float(array[place]), float(expected[place])
        factor = f" (x {found / own:.6g})" if own else ""
        shown.append(f"[{', '.join(map(str, place))}] {found:.7g} for {own:.7g}{factor}")
    more = f" and {count - SHOWN} more" if count > SHOWN else ""
    return f"{source}: {count} of {array.size} numbers differ: {'; '.join(shown)}{more}"
