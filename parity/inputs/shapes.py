"""Sizes and batches that a network is run with beside its images: chosen, drawn, and made pictures.

The traced size proves nothing about the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from trufor_onnx.documents import canonical
from trufor_onnx.errors import ParityError
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.files import sha256_bytes
from trufor_onnx.parity.inputs.cases import KINDS, Case, ImageFile, Made

SHAPE_PREFIX = "shape:"
# Sizes that are drawn: sides in pixels, batches.
LEAST_SIDE, LARGE_SIDE, LARGEST_SIDE = 24, 257, 640
DRAWN_BATCHES = (4, 6, 7, 8)
MADE_SIDE = 64

FIXED_BATCHES = (1, 2, 3, 5)  # all that can be varied where the size is fixed

Shape = tuple[int, tuple[int, int]]  # batch; height and width
OPTION, FILES, BUNDLE = "--seed", "the files' digests", "the bundle"
DIGITS = 8  # hexadecimal: seeds that a person can type


def shape_cases(spec: ModelSpec, pictures: Sequence[ImageFile]) -> list[Case]:
    """The shape matrix of a network, cut from readable pictures.

    The traced size proves nothing about the others: so a non-square, a non-multiple of 32, an odd
    size, the smallest allowed, larger ones than traced, strips, and batches of two, three and five
    are always run.
    """
    return [_crops(shape, pictures) for shape in _matrix(spec)]


def drawn_cases(spec: ModelSpec, pictures: Sequence[ImageFile], seed: int) -> list[Case]:
    """Sizes that nobody chose: a large one, any one, an odd one and a batch.

    The same seed gives the same sizes, on every machine.

    Args:
        spec: the network; one of fixed size has none.
        pictures: readable ones.
        seed: 0 or more.
    """
    known = _matrix(spec)
    own = [(_batch(spec, batch), size) for batch, size in _drawn(spec, seed)]
    drawn = dict.fromkeys(own) if not spec.fixed_size else {}
    return [_crops(shape, pictures) for shape in drawn if shape not in known]


def admitted_shapes(axes: Sequence[int | str]) -> int | None:
    """How many shapes the matrix has for a network of one size; None where sizes are free.

    Args:
        axes: of its first input, (batch, channels, height, width).
    """
    if len(axes) != 4 or not all(isinstance(axis, int) for axis in axes[2:]):
        return None
    return 1 if isinstance(axes[0], int) else len(FIXED_BATCHES)


def made_cases(spec: ModelSpec) -> list[Case]:
    """Black, grey, white and saturated pictures, which a data set need not hold."""
    side = max(MADE_SIDE, spec.least_size)
    size = spec.fixed_size or (side, side)
    return [Case(made.name, (made,), size) for made in (Made(kind, size) for kind in KINDS)]


def _crops(shape: Shape, pictures: Sequence[ImageFile]) -> Case:
    batch, size = shape
    name = SHAPE_PREFIX + "x".join(map(str, size if batch == 1 else (batch, *size)))
    return Case(name, tuple(pictures[index % len(pictures)] for index in range(batch)), size)


def _matrix(spec: ModelSpec) -> list[Shape]:
    return sorted({(_batch(spec, batch), size) for batch, size in _shapes(spec)})


def _batch(spec: ModelSpec, batch: int) -> int:
    """A batch that the network takes: its own where that is fixed."""
    own = spec.inputs[0].axes[0]
    return own if isinstance(own, int) else batch


def _shapes(spec: ModelSpec) -> Iterator[Shape]:
    if spec.fixed_size:
        yield from ((batch, spec.fixed_size) for batch in FIXED_BATCHES)
        return
    yield 1, spec.trace_size
    yield 1, (spec.least_size, spec.least_size)
    # Larger than the traced size, whatever that is.
    height, width = spec.trace_size
    least = spec.least_size
    yield 1, (max(512, height + 128, least), max(384, width + 96, least))
    for batch, size in (
        # Not square the other way round; multiples of 8 but not of 32; odd.
        (1, (160, 96)),
        (1, (200, 136)),
        (1, (101, 77)),
        # Strips: sides over 512 and over 1024 at the price of a small picture.
        (1, (72, 648)),
        (1, (1032, 40)),
        (2, (96, 128)),
        (3, (64, 80)),
        (5, (51, 67)),
    ):
        # For networks that take large images only: larger, and the same modulo 32.
        more = max(0, -(-(spec.least_size - min(size)) // 32) * 32)
        yield batch, (size[0] + more, size[1] + more)


def _drawn(spec: ModelSpec, seed: int) -> Iterator[Shape]:
    draw = Random(f"{spec.name} {spec.version} {seed}")

    def side(low: int, high: int) -> int:
        """Any whole number of low..high; small ones as often as large ones, by ratio."""
        return min(high, int(low * math.exp(draw.random() * math.log((high + 1) / low))))

    least = max(spec.least_size, LEAST_SIDE)
    large = max(spec.least_size, LARGE_SIDE)
    most = max(LARGEST_SIDE, 2 * spec.least_size)
    yield 1, (side(large, most), side(large, most))
    yield 1, (side(least, most), side(least, most))
    yield 1, (side(least, most) | 1, side(least, most) | 1)
    batch = DRAWN_BATCHES[int(draw.random() * len(DRAWN_BATCHES))]
    some = max(96, least * 5 // 4)
    yield batch, (side(least, some), side(least, some))


@dataclass(frozen=True)
class Seed:
    """A seed and where it is from.

    Attributes:
        value: 0 or more.
        origin: ``--seed``, the files' digests, or the bundle.
    """

    value: int
    origin: str

    def document(self) -> dict[str, Any]:
        """As the report has it."""
        return asdict(self)


def from_files(spec: ModelSpec, digests: Iterable[str]) -> Seed:
    """The seed of a run that was told none.

    Args:
        spec: the network.
        digests: SHA-256 of the files that are judged.
    """
    return Seed(_number([spec.name, spec.version, *sorted(digests)]), FILES)


def from_weights(spec: ModelSpec, digest: str) -> int:
    """The seed of a bundle that was told none; ``digest`` is that of the weights."""
    return _number([spec.name, spec.version, digest])


def require_seed(seed: int | None) -> None:
    """Refuse a seed that cannot be.

    Raises:
        ParityError: it is negative.
    """
    if seed is not None and seed < 0:
        raise ParityError("--seed must be 0 or more", hint="any whole number, as --seed 2026")


def _number(of: list[str]) -> int:
    return int(sha256_bytes(canonical(of).encode())[:DIGITS], 16)
