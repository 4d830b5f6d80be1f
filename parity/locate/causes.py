"""What was done to an input, or to an output: as numbers, and in the words that people know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from export.spec import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

Array = npt.NDArray[Any]
RGB = "RGB"
EXPLAINS = 1e-3  # of the spread: what a fit may leave
EQUAL = 2e-4  # relative: two factors are the same number (255 and 256 differ by 4e-3)
KNOWN_SCALES = (255.0, 256.0, 127.5, 128.0, 65535.0)
LEAST_SPREAD = 1e-9
CLEARLY = 0.1  # what a cause may leave of a difference
LEVELS = 255


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
        (f" = {text}" for text, value in _ratios() if abs(factor / value - 1.0) <= EQUAL / 4), ""
    )
    text = f"x {factor:.6g}{ratio}"
    small = abs(shift) <= EXPLAINS * max(abs(factor), LEAST_SPREAD)
    return text if small else f"{text} {'+' if shift > 0 else '-'} {abs(shift):.6g}"


def _ratios() -> Iterator[tuple[str, float]]:
    yield from (("256/255", 256 / 255), ("255/256", 255 / 256))
    yield from (("1/255", 1 / 255), ("1/256", 1 / 256))


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
