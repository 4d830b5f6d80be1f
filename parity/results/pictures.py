"""Small pictures of the worst images, as a report keeps them. Nothing here draws."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

PNG, JPEG = "image/png", "image/jpeg"
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": PNG, b"\xff\xd8\xff": JPEG}
LONGEST = 192  # pixels of the longer side of a picture
LEVELS = 15  # colours of a scale; the sixteenth is for what is no number
JPEG_QUALITY = 80
NO_NUMBER = (0, 255, 255)  # cyan: neither a grey nor a colour of the error scale
# Brightness rises evenly from black over violet, red and orange to pale yellow, so that the scale
# reads without colour too.
HEAT_STOPS = (
    (0, 0, 0),
    (60, 10, 95),
    (150, 25, 105),
    (215, 65, 60),
    (250, 150, 30),
    (255, 250, 200),
)
Plane = npt.NDArray[np.float64]
Colours = tuple[tuple[int, int, int], ...]
WORST = 3  # images a model x backend x output


@dataclass(frozen=True)
class Drawing:
    """A picture and what its darkest and its brightest colour stand for.

    Attributes:
        file: the name of its content in `Pictures.files`.
        low: the value of the darkest colour; None for a photograph.
        high: the value of the brightest one.
    """

    file: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Panel:
    """What one backend made of one image in one output.

    Attributes:
        model, variant, backend, provider, image, output: as in the row that it belongs to.
        size: height and width of the output, before it was made small.
        channels: how many there are; of several, the pictures show the mean.
        input: the image, or None where it is not kept.
        reference: the float64 network's output.
        candidate: the backend's output, in the reference's scale; None where it has another shape.
        error: mean over the channels of ``|candidate - reference|``, from 0.0; of the values that
            fall on one pixel, the largest.
        note: what the pictures do not show, or "".
    """

    model: str
    variant: str
    backend: str
    provider: str
    image: str
    output: str
    size: tuple[int, ...]
    channels: int
    input: Drawing | None
    reference: Drawing
    candidate: Drawing | None
    error: Drawing | None
    note: str = ""


@dataclass(frozen=True)
class Pictures:
    """The pictures of a run.

    Attributes:
        files: PNG and JPEG files in base64, by a digest of their content.
        panels: the worst images, a few a model x backend x output, the worst first.
        left_out: how many panels were left out to keep the report small.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    panels: tuple[Panel, ...] = ()
    left_out: int = 0


def media_type(encoded: str) -> str:
    """What kind of picture a file is by its first bytes, or "" where it is none.

    Args:
        encoded: base64, from a report that anybody may have written.
    """
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return next((kind for mark, kind in _SIGNATURES.items() if content.startswith(mark)), "")


def _ramp(stops: Colours) -> Colours:
    at = np.linspace(0.0, len(stops) - 1.0, LEVELS)
    channels = [np.interp(at, range(len(stops)), [stop[c] for stop in stops]) for c in range(3)]
    return tuple((int(r), int(g), int(b)) for r, g, b in zip(*channels, strict=True))


GREY = _ramp(((0, 0, 0), (255, 255, 255)))
HEAT = _ramp(HEAT_STOPS)


def plane(array: npt.NDArray[Any]) -> Plane | None:
    """The first batch member's mean over its channels, float64; None for what is no map.

    Args:
        array: (B, C, H, W), (B, H, W) or anything else.
    """
    if array.ndim not in (3, 4) or min(array.shape) < 1 or min(array.shape[-2:]) < 2:
        return None
    first = array[0].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        found: Plane = first if first.ndim == 2 else first.mean(axis=0)
    return found


def blocks(values: Plane, *, largest: bool = False) -> Plane:
    """(h, w): the means of square blocks, or their largest values, with h and w at most LONGEST.

    A value that is no number makes its block one too: it is seen at any size.
    """
    factor = -(-max(values.shape) // LONGEST)
    if factor == 1:
        return values
    starts = [np.arange(0, length, factor) for length in values.shape]
    with np.errstate(invalid="ignore", over="ignore"):
        if largest:
            rows = np.maximum.reduceat(values, starts[0], axis=0)
            return np.maximum.reduceat(rows, starts[1], axis=1)
        sums = np.add.reduceat(np.add.reduceat(values, starts[0], axis=0), starts[1], axis=1)
    counts = [np.diff([*start, length]) for start, length in zip(starts, values.shape, strict=True)]
    found: Plane = sums / np.outer(*counts)
    return found


def span(values: Plane, *, percent: float = 0.0) -> tuple[float, float]:
    """Least and largest finite value, without ``percent`` of the values at either end."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 0.0
    low, high = np.percentile(finite, (percent, 100.0 - percent))
    return float(low), float(high)


def scaled_png(values: Plane, low: float, high: float, colours: Colours) -> bytes:
    """A PNG of 16 colours: ``low`` and less is the first, ``high`` and more the last.

    Args:
        values: (H, W), small; NaN and infinities get a colour of their own.
        low: value of the first colour.
        high: value of the last one.
        colours: `GREY` or `HEAT`.
    """
    finite = np.isfinite(values)
    place = np.zeros(values.shape)
    if high > low:
        inside = np.clip(np.where(finite, values, low), low, high)
        # The difference of two large numbers may be beyond float64, half of a tiny one is nothing.
        part = 1.0 if math.isfinite(float(high) - float(low)) else 0.5
        place = (inside * part - low * part) / (high * part - low * part)
    index = np.minimum(place * LEVELS, LEVELS - 1).astype(np.uint8)
    index[~finite] = LEVELS
    image = Image.fromarray(index)
    image.putpalette([part for colour in (*colours, NO_NUMBER) for part in colour])
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def photograph(rgb: npt.NDArray[np.uint8]) -> bytes:
    """A small JPEG of an image, (H, W, 3)."""
    image = Image.fromarray(np.ascontiguousarray(rgb))
    image.thumbnail((LONGEST, LONGEST))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def badness(mae: float | None) -> float:
    """What images are ranked by: a row without a finite error is the worst of all."""
    return math.inf if mae is None or not math.isfinite(mae) else mae
