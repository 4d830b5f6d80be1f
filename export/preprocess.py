"""From a picture on disk to the numbers that the networks take. numpy and pillow only.

Nothing here resizes or recompresses: that would destroy the traces the networks look for.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from chunking.hashing import sha256_bytes
from export.errors import PreprocessError
from export.spec import Preprocessing

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")
LARGEST_FILE = 512 << 20  # bytes
LARGEST_PIXELS = 178_956_970  # pillow's own limit for decompression bombs
EIGHT_BIT_MODES = ("RGB", "RGBA", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr", "RGBX")


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

    Args:
        data: the file's bytes.
        name: what errors call it.

    Raises:
        PreprocessError: see `read_image`.
    """
    hint = "open it in an image viewer; it may be truncated, or no picture at all"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as picture:
                if picture.mode not in EIGHT_BIT_MODES:
                    raise PreprocessError(
                        f"{name}: mode {picture.mode} has more than 8 bits a channel",
                        hint="convert it to 8-bit RGB with the software that made it",
                    )
                picture.load()
                upright = ImageOps.exif_transpose(picture)
                rgb = np.asarray(upright.convert("RGB"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PreprocessError(
            f"{name}: too many pixels ({error})", hint=f"the limit is {LARGEST_PIXELS:,} pixels"
        ) from error
    except UnidentifiedImageError as error:
        raise PreprocessError(f"{name}: not a picture that pillow knows", hint=hint) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # pillow's decoders raise these
        raise PreprocessError(f"{name}: damaged picture ({error})", hint=hint) from error
    return np.ascontiguousarray(rgb)


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
