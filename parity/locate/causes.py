"""What was done to an input, or to an output: as numbers, and in the words that people know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.export.networks.spec import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from trufor_onnx.parity.locate.candidate import Opened
from trufor_onnx.parity.locate.origins import Origins
from trufor_onnx.parity.locate.tape import Op

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]
RGB = "RGB"
EXPLAINS = 1e-3  # of the spread: what a fit may leave
EQUAL = 2e-4  # relative: two factors are the same number (255 and 256 differ by 4e-3)
KNOWN_SCALES = (255.0, 256.0, 127.5, 128.0, 65535.0)
RATIOS = {"256/255": 256 / 255, "255/256": 255 / 256, "1/255": 1 / 255, "1/256": 1 / 256}
LEAST_SPREAD = 1e-9
CLEARLY = 0.1  # what a cause may leave of a difference
LEVELS = 255
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


def of_input(found: Array, own: Array, contract: Preprocessing) -> str:
    """How what enters the file's first layer was made of the network's input, or "".

    Args:
        found: what enters, (B, C, H, W).
        own: the network's input, (B, C, H, W) float64.
        contract: how pixels became it.
    """
    if found.shape != own.shape:
        return f"it is {_shape(found)}, the network's is {_shape(own)}"
    found = found.astype(np.float64)
    if not np.isfinite(found).all():
        return "it has values that are NaN or infinite"
    if own.ndim < 2 or own.shape[1] > len(RGB):
        fit = _fit(found.reshape(1, -1), own.reshape(1, -1))
        return "" if fit is None else _factors(fit[1], fit[2], contract)
    channels = own.shape[1]
    left, right = (np.moveaxis(one, 1, 0).reshape(channels, -1) for one in (found, own))
    fit = _fit(left, right)
    if fit is not None:
        order, factor, shift = fit
        said = [text for text in (_order(order), _factors(factor, shift, contract)) if text]
        if said:
            return ", ".join(said)
    low, high = float(found.min()), float(found.max())
    clip = (f"clipped to {low:.6g}..{high:.6g}", lambda x: np.clip(x, low, high))
    off = _rms(found - own)
    for words, change in [*_changes(contract), clip]:
        if _rms(found - change(own)) <= CLEARLY * off:
            return words
    return ""


def as_if(given: Array, run: Callable[[Array], Array], own: Array, contract: Preprocessing) -> str:
    """A change of the input with which the reference gives what the file gives, or "".

    Args:
        given: what the file computes at some place before or in the first layer.
        run: the reference up to that place, for another input.
        own: the network's input, (B, C, H, W) float64.
        contract: how pixels became it.
    """
    if own.ndim < 2 or own.shape[1] != len(RGB) or not np.isfinite(given).all():
        return ""
    off = _rms(given - run(own))
    for words, change in [*_affine(contract), *_changes(contract)]:
        if _rms(given - run(change(own))) <= CLEARLY * off:
            return words
    return ""


def of_output(found: Array, own: Array) -> str:
    """How an output was made of the network's, where a factor and a shift say it; or ""."""
    if found.shape != own.shape:
        return f"it is {_shape(found)}, the network's is {_shape(own)}"
    if not np.isfinite(found).all():
        return "it has values that are NaN or infinite"
    fit = _fit(found.reshape(1, -1).astype(np.float64), own.reshape(1, -1))
    return "" if fit is None else _line(float(fit[1][0]), float(fit[2][0]))


def _rms(difference: Array) -> float:
    return float(np.sqrt(np.square(difference.astype(np.float64)).mean()))


def _fit(found: Array, own: Array) -> tuple[tuple[int, ...], Array, Array] | None:
    """Rows of ``found`` as ``factor * own[order] + shift``, or None where that leaves too much."""
    channels = len(own)
    if (own.std(axis=1) < LEAST_SPREAD).any() or (found.std(axis=1) < LEAST_SPREAD).any():
        return None
    for order in permutations(range(channels)):
        source = own[list(order)]
        means = source.mean(axis=1, keepdims=True), found.mean(axis=1, keepdims=True)
        centred = source - means[0]
        factor = (centred * (found - means[1])).sum(axis=1) / np.square(centred).sum(axis=1)
        shift = means[1][:, 0] - factor * means[0][:, 0]
        left = found - factor[:, None] * source - shift[:, None]
        if (np.sqrt(np.square(left).mean(axis=1)) <= EXPLAINS * found.std(axis=1)).all():
            return order, factor, shift
    return None


def _order(order: tuple[int, ...]) -> str:
    if order == tuple(range(len(order))):
        return ""
    letters = "".join(RGB[i] for i in order)
    return "the channels in reverse, BGR" if letters == "BGR" else f"the channels as {letters}"


def _factors(factor: Array, shift: Array, contract: Preprocessing) -> str:
    """A factor and a shift a channel, and what they are known as."""
    if _near(factor, 1.0) and np.abs(shift).max() <= EXPLAINS:
        return ""
    said = next((words for words, a, b in _known(contract) if _same(factor, shift, a, b)), "")
    if _near(factor, factor[0]) and np.ptp(shift) <= EXPLAINS * abs(factor[0]):
        numbers = _line(float(factor[0]), float(shift.mean()))
    else:
        numbers = "; ".join(_line(float(a), float(b)) for a, b in zip(factor, shift, strict=True))
    return f"{numbers} ({said})" if said else numbers


def _line(factor: float, shift: float) -> str:
    ratio = next(
        (f" = {text}" for text, value in RATIOS.items() if abs(factor / value - 1.0) <= EQUAL / 4),
        "",
    )
    text = f"x {factor:.6g}{ratio}"
    small = abs(shift) <= EXPLAINS * max(abs(factor), LEAST_SPREAD)
    return text if small else f"{text} {'+' if shift > 0 else '-'} {abs(shift):.6g}"


def _near(values: Array, wanted: Any) -> bool:
    return bool((np.abs(values - wanted) <= EQUAL * np.abs(wanted)).all())


def _same(factor: Array, shift: Array, a: Array, b: Array) -> bool:
    slack = EXPLAINS * np.maximum(np.abs(a), np.abs(b))
    return _near(factor, np.broadcast_to(a, factor.shape)) and bool(
        (np.abs(shift - b) <= slack).all()
    )


def _known(contract: Preprocessing) -> Iterator[tuple[str, Array, Array]]:
    """Names of changes ``x a + b`` that people make, a number a channel."""
    scale = contract.scale
    mean, std = np.array(contract.mean), np.array(contract.std)
    normalises = bool(mean.any() or (std != 1.0).any())
    for other in KNOWN_SCALES:
        if other != scale:
            words = f"pixels divided by {other:g} where the network's are divided by {scale:g}"
            ratio = scale / other
            yield words, np.full_like(std, ratio), (ratio - 1.0) * mean / std
    yield f"pixels not divided by {scale:g}", scale + 0 * std, (scale - 1.0) * mean / std
    for other in dict.fromkeys((scale, 255.0, 256.0)):
        again = "again " if other == scale else ""
        yield (
            f"divided by {other:g} {again}after the network's own division",
            *_both(1 / other, std),
        )
        yield f"multiplied by {other:g}", *_both(other, std)
    sets = {"ImageNet's mean and std": (np.array(IMAGENET_MEAN), np.array(IMAGENET_STD))}
    if normalises:
        sets = {"the network's mean and std": (mean, std), **sets}
        yield "not normalised: the network's mean and std are left out", std, mean
        yield "raw pixels, neither divided nor normalised", scale * std, scale * mean
        yield "mean and std swapped", std / mean, (mean - std) / mean
    for words, (m, s) in sets.items():
        yield f"normalised {'twice' if normalises else 'once more'}, with {words}", 1 / s, -m / s
        yield f"{words} swapped, applied once more", 1 / m, -s / m
    yield "brought to -1..1", *_both(2.0, std, -1.0)
    yield "inverted", *_both(-1.0, std, 1.0)


def _both(factor: float, like: Array, shift: float = 0.0) -> tuple[Array, Array]:
    return np.full_like(like, factor), np.full_like(like, shift)


def _affine(contract: Preprocessing) -> Iterator[tuple[str, Callable[[Array], Array]]]:
    for order in ((2, 1, 0), (1, 2, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2)):
        yield _order(order), lambda x, o=list(order): x[:, o]  # type: ignore[misc]
    for words, a, b in _known(contract):
        numbers = _line(float(a[0]), float(b[0])) if np.ptp(a) == 0.0 == np.ptp(b) else ""
        said = f"{numbers} ({words})" if numbers else words
        yield said, lambda x, a=a, b=b: x * a.reshape(1, -1, 1, 1) + b.reshape(1, -1, 1, 1)  # type: ignore[misc]


def _changes(contract: Preprocessing) -> Iterator[tuple[str, Callable[[Array], Array]]]:
    """Changes that no factor and shift describe."""
    mean, std = (np.reshape(given, (1, -1, 1, 1)) for given in (contract.mean, contract.std))

    def levels(x: Array, rounded: Callable[[Array], Array]) -> Array:
        pixels = (x * std + mean) * LEVELS
        return np.asarray((rounded(pixels + 1e-6) / LEVELS - mean) / std)

    yield "clipped to 0..1", lambda x: np.clip(x, 0.0, 1.0)
    yield "clipped to -1..1", lambda x: np.clip(x, -1.0, 1.0)
    yield "rounded to float16", lambda x: x.astype(np.float16).astype(np.float64)
    yield "rounded to 8 bits", lambda x: levels(x, np.rint)
    yield "rounded to multiples of 1/255", lambda x: np.rint(x * LEVELS) / LEVELS
    yield "cut to 8 bits", lambda x: levels(x, np.floor)
    yield "mirrored left to right", lambda x: x[..., ::-1]
    yield "upside down", lambda x: x[..., ::-1, :]
    yield "turned to grey", lambda x: np.broadcast_to(x.mean(1, keepdims=True), x.shape)
    yield "all zeros", lambda x: 0.0 * x


def _shape(array: Array) -> str:
    return f"({', '.join(map(str, array.shape))})"


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
