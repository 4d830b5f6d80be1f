"""From a picture on disk to the numbers that the networks take. numpy and pillow only.

Nothing here resizes or recompresses: that would destroy the traces the networks look for.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from chunking.hashing import sha256_bytes
from export.errors import PreprocessError
from export.spec import Preprocessing

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")
LARGEST_FILE = 512 << 20  # bytes
LARGEST_PIXELS = 178_956_970  # above it pillow itself refuses, as a decompression bomb
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")  # others, as EPS, run other programs
DEEP_FORMATS = ("PNG", "TIFF")  # of these, the ones with more than 8 bits a channel
EIGHT_BIT_MODES = ("RGB", "RGBA", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr", "RGBX")
_PIXEL_HINT = f"the limit is {LARGEST_PIXELS:,} pixels"
# What pillow's decoders raise for damaged files, beside UnidentifiedImageError.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, LookupError, TypeError)


@dataclass(frozen=True)
class LoadedImage:
    """A decoded picture.

    Attributes:
        rgb: (H, W, 3) uint8, upright (EXIF orientation applied).
        sha256: the digest of the file's bytes.
    """

    rgb: npt.NDArray[np.uint8]
    sha256: str


def read_image(path: Path) -> LoadedImage:
    """Decode a picture to 8-bit RGB.

    Raises:
        PreprocessError: the file is missing, no picture, damaged, too large, or has no faithful
            8-bit form; the message names it and says why.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise PreprocessError(
                f"{path}: {size:,} bytes are too many for a picture",
                hint=f"the limit is {LARGEST_FILE:,} bytes",
            )
        data = path.read_bytes()
    except OSError as error:
        raise PreprocessError(
            f"{path}: cannot be read ({error.strerror})", hint="check the path and its permissions"
        ) from error
    return LoadedImage(decode_rgb(data, str(path)), sha256_bytes(data))


def decode_rgb(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """The pixels of an encoded picture: (H, W, 3) uint8, upright.

    Grey becomes three equal channels, a palette its colours, alpha is dropped, CMYK is converted
    without a colour profile; of several frames the first is taken.

    Args:
        data: the file's bytes.
        name: what errors call it.

    Raises:
        PreprocessError: see `read_image`.
    """
    hint = "open it in an image viewer; it may be truncated, or no picture at all"
    try:
        with warnings.catch_warnings():
            # Of odd metadata and of palettes with transparency; too many pixels are refused below.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                _require_faithful(picture, name)
                picture.load()
                rgb = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except Image.DecompressionBombError as error:
        raise PreprocessError(f"{name}: too many pixels ({error})", hint=_PIXEL_HINT) from error
    except UnidentifiedImageError as error:
        raise PreprocessError(
            f"{name}: not a picture of a format that is read ({', '.join(FORMATS)})", hint=hint
        ) from error
    except _DAMAGED as error:
        reason = str(error) or type(error).__name__
        raise PreprocessError(f"{name}: damaged picture ({reason})", hint=hint) from error
    return np.ascontiguousarray(rgb)


def _require_faithful(picture: ImageFile.ImageFile, name: str) -> None:
    """Refuse what 8 bits a channel cannot hold, and sizes that no memory should be given for."""
    # pillow opens 16-bit colour as RGB and keeps the upper 8 bits; only the raw mode tells.
    deep = picture.format in DEEP_FORMATS and any(";16" in str(t.args) for t in picture.tile)
    if picture.mode not in EIGHT_BIT_MODES or deep:
        stored = ", stored with 16 bits" if deep else ""
        raise PreprocessError(
            f"{name}: more than 8 bits a channel (mode {picture.mode}{stored})",
            hint="convert it to 8-bit RGB with the software that made it",
        )
    width, height = picture.size
    if width * height > LARGEST_PIXELS:
        raise PreprocessError(f"{name}: {width} x {height} are too many pixels", hint=_PIXEL_HINT)


def to_input(rgb: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """``(rgb / scale - mean) / std`` as (1, 3, H, W) float32, computed in float64, rounded once.

    Args:
        rgb: (H, W, 3) uint8.
        preprocessing: the network's contract.

    Raises:
        PreprocessError: not (H, W, 3) uint8.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise PreprocessError(
            f"an image must be (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}",
            hint="decode it with export.preprocess.read_image",
        )
    # A table of the 256 possible values a channel is exact and quicker than the arithmetic.
    levels = np.arange(256, dtype=np.float64) / preprocessing.scale
    planes = [
        ((levels - mean) / std).astype(np.float32)[rgb[:, :, channel]]
        for channel, (mean, std) in enumerate(
            zip(preprocessing.mean, preprocessing.std, strict=True)
        )
    ]
    return np.stack(planes)[np.newaxis]
