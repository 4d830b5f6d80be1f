"""What an analysis gives: plain arrays and numbers, none of which can be changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trufor_onnx.runtime.model_files import Provenance

Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ImageInfo:
    """The analysed image.

    Attributes:
        name: the path, or what it was called.
        sha256: the digest of the file's bytes, or of an array's content.
        format: ``JPEG``, ``PNG``, ..., or ``array``.
        height: in pixels, upright.
        width: in pixels, upright.
        notes: what was done on the way to upright 8-bit RGB, a sentence each.
    """

    name: str
    sha256: str
    format: str
    height: int
    width: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Analysis:
    """TruFor's answers for one image.

    Attributes:
        map: (H, W) float32, the probability that a pixel is forged, 0..1.
        conf: (H, W) float32, the reliability of the map, 0..1.
        score: the integrity score, 0 (pristine) to 1 (forged).
        noiseprint: (H, W) float32, the Noiseprint++ map, about -1..1; None unless asked for.
        image: what was analysed.
        timings_ms: milliseconds of ``decode``, ``noiseprint``, ``detect`` and their ``total``.
        provenance: the models, their weights, the provider that ran.
    """

    map: Map
    conf: Map
    score: float
    noiseprint: Map | None
    image: ImageInfo
    timings_ms: Mapping[str, float]
    provenance: Provenance

    @property
    def provider(self) -> str:
        """Where it really ran: ``cpu``, ``cuda``, ..."""
        return self.provenance.provider
