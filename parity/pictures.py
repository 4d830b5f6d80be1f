"""Small pictures of the worst images, as a report keeps them. Nothing here draws."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

PNG, JPEG = "image/png", "image/jpeg"
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": PNG, b"\xff\xd8\xff": JPEG}


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
