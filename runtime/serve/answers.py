"""An analysis as the page shows it: JSON with pictures of screen size."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from runtime.colours import INFERNO, VIRIDIS, coloured, table
from runtime.results import Analysis

LARGEST_SIDE = 1600  # pixels of a picture on the page; the analysis is never scaled

Pixels = npt.NDArray[np.uint8]


def answer(rgb: Pixels, analysis: Analysis) -> dict[str, Any]:
    """What the page gets.

    Args:
        rgb: (H, W, 3) uint8, the analysed image.
        analysis: of this image.

    Returns:
        Numbers, texts, and three PNG pictures of one size as ``data:`` addresses: ``image`` (so
        that formats which browsers do not show are seen too), ``map`` and ``conf`` in colours.
    """
    info = analysis.image
    size = _screen_size(info.width, info.height)
    return {
        "name": info.name,
        "width": info.width,
        "height": info.height,
        "format": info.format,
        "notes": list(info.notes),
        "score": analysis.score,
        "map_over_half": float((analysis.map > 0.5).mean()),
        "conf_mean": float(analysis.conf.mean()),
        "seconds": analysis.timings_ms["total"] / 1000,
        "provider": analysis.provider,
        "weights": analysis.provenance.weights,
        "warning": analysis.provenance.warning,
        "pictures": {
            "image": _address(Image.fromarray(rgb), size),
            "map": _address(Image.fromarray(coloured(analysis.map, table(INFERNO))), size),
            "conf": _address(Image.fromarray(coloured(analysis.conf, table(VIRIDIS))), size),
        },
    }


def _screen_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, LARGEST_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _address(picture: Image.Image, size: tuple[int, int]) -> str:
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BOX)
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
