"""Whatever a caller has as an image, as pixels."""

from __future__ import annotations

import time
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from chunking.errors import UserError
from chunking.hashing import sha256_bytes
from export.preprocess import decode, from_pillow, read_image
from runtime.errors import ImageError
from runtime.results import ImageInfo

# 50-megapixel phones; a header can claim any size, and memory is given for the claim.
LARGEST_PIXELS = 64_000_000

ImageLike = str | PathLike[str] | bytes | Image.Image | npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image.

    Attributes:
        rgb: (H, W, 3) uint8, upright.
        info: where it came from and what was done to it.
        decode_ms: milliseconds that it took.
    """

    rgb: npt.NDArray[np.uint8]
    info: ImageInfo
    decode_ms: float = 0.0


def load_picture(
    image: ImageLike | Picture, *, name: str = "", largest_pixels: int = LARGEST_PIXELS
) -> Picture:
    """Decode an image of any kind to upright 8-bit RGB.

    Args:
        image: a path, a file's bytes, a pillow image, or (H, W, 3) uint8.
        name: what results and errors call it; a path's default is the path.
        largest_pixels: larger ones are refused before they are unpacked.

    Raises:
        ImageError: it cannot be read, or is no image.
    """
    if isinstance(image, Picture):
        return image
    start = time.perf_counter_ns()
    try:
        if isinstance(image, np.ndarray):
            return _of_array(image, name or "array", start)
        if isinstance(image, Image.Image):
            name = name or "pillow image"
            loaded = from_pillow(image, name, largest_pixels=largest_pixels)
        elif isinstance(image, bytes):
            name = name or "bytes"
            loaded = decode(image, name, largest_pixels=largest_pixels)
        else:
            name = name or fspath(image)
            loaded = read_image(Path(image), largest_pixels=largest_pixels)
    except UserError as error:
        raise ImageError(error.problem, hint=error.hint) from error
    height, width = loaded.rgb.shape[:2]
    info = ImageInfo(name, loaded.sha256, loaded.format, height, width, loaded.notes)
    return Picture(loaded.rgb, info, _since(start))


def _of_array(rgb: npt.NDArray[np.uint8], name: str, start: int) -> Picture:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ImageError(
            f"{name}: an array must be (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}",
            hint="RGB, 0..255; of floats in 0..1: (255 * x).round().astype(numpy.uint8)",
        )
    rgb = np.ascontiguousarray(rgb)
    height, width = rgb.shape[:2]
    info = ImageInfo(name, sha256_bytes(rgb.data), "array", height, width)
    return Picture(rgb, info, _since(start))


def _since(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1e6
