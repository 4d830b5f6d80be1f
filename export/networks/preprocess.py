"""From a picture on disk to the numbers that the networks take. numpy and pillow only.

Nothing here resizes or recompresses: that would destroy the traces the networks look for.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from trufor_onnx.errors import PreprocessError
from trufor_onnx.export.networks.spec import GREY, Preprocessing
from trufor_onnx.files import read_regular, sha256_bytes

FORMAT = "HEIF"
_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx")
LARGEST_FILE = 512 << 20  # bytes
LARGEST_PIXELS = 178_956_970  # above it pillow itself refuses, as a decompression bomb
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")  # others, as EPS, run other programs
DEEP_FORMATS = ("PNG", "TIFF")  # of these, the ones with more than 8 bits a channel
EIGHT_BIT_MODES = ("RGB", "RGBA", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr", "RGBX")
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
TURNED = range(2, 9)  # EXIF orientations other than upright
# What pillow's decoders raise for damaged files, beside UnidentifiedImageError.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, LookupError, TypeError)


def registered(data: bytes, name: str) -> tuple[str, ...]:
    """The further formats that pillow is to try for this file: ``("HEIF",)`` or none.

    Args:
        data: the file's bytes; its ISO base media brand decides, so that others cost nothing.
        name: what errors call it.

    Raises:
        PreprocessError: it is a HEIC picture and the plugin is not installed.
    """
    if data[4:8] != b"ftyp" or data[8:12] not in _BRANDS:
        return ()
    if not _register():
        raise PreprocessError(
            f"{name}: a HEIC picture, and the plugin that reads them is not installed",
            hint="pip install pillow-heif",
        )
    return (FORMAT,)


@cache
def _register() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@dataclass(frozen=True)
class LoadedImage:
    """A decoded picture.

    Attributes:
        rgb: (H, W, 3) uint8, upright (EXIF orientation applied).
        sha256: the digest of the file's bytes.
        format: ``JPEG``, ``PNG``, ...
        notes: what was done to get from the file to these pixels, a sentence each; empty for a
            plain 8-bit RGB file that is stored upright.
    """

    rgb: npt.NDArray[np.uint8]
    sha256: str
    format: str = ""
    notes: tuple[str, ...] = ()


def read_image(path: Path, *, largest_pixels: int = LARGEST_PIXELS) -> LoadedImage:
    """Decode a picture to 8-bit RGB; see `decode` for how.

    Raises:
        PreprocessError: the file is missing, no regular file, no picture, damaged, too large, or
            has no 8-bit form; the message names it and says why.
    """
    try:
        data = read_regular(path, LARGEST_FILE)
    except OSError as error:
        raise PreprocessError(
            f"{path}: cannot be read ({error.strerror or error})",
            hint="check the path and its permissions",
        ) from error
    return decode(data, str(path), largest_pixels=largest_pixels)


def decode(data: bytes, name: str, *, largest_pixels: int = LARGEST_PIXELS) -> LoadedImage:
    """Decode an encoded picture to 8-bit RGB, never resized, never recompressed.

    Grey becomes three equal channels, a palette its colours, CMYK is converted without a colour
    profile. Alpha is dropped, not blended: blending would mix the pixels with a background that
    no camera saw. Of 16 bits a channel the upper 8 are kept (``value // 256``), for colour as for
    grey. Of several frames the first is taken. Everything done is in the result's ``notes``.

    Args:
        data: the file's bytes.
        name: what errors call it.
        largest_pixels: pictures with more pixels are refused before they are unpacked.

    Raises:
        PreprocessError: see `read_image`.
    """
    formats = (*FORMATS, *registered(data, name))
    with (
        _explained(name, largest_pixels),
        Image.open(io.BytesIO(data), formats=formats) as picture,
    ):
        rgb, notes = _upright_rgb(picture, name, largest_pixels)
        return LoadedImage(rgb, sha256_bytes(data), picture.format or "", notes)


def from_pillow(
    image: Image.Image, name: str, *, largest_pixels: int = LARGEST_PIXELS
) -> LoadedImage:
    """The pixels of a picture that pillow has opened or made, by the rules of `decode`.

    The digest is that of the pixels, because the file's bytes are not known. The given image is
    unpacked if it was not yet, and not changed otherwise.

    Raises:
        PreprocessError: see `read_image`.
    """
    with _explained(name, largest_pixels):
        rgb, notes = _upright_rgb(image, name, largest_pixels, keep=True)
        return LoadedImage(rgb, sha256_bytes(rgb.data), image.format or "pillow", notes)


@contextmanager
def _explained(name: str, largest_pixels: int) -> Iterator[None]:
    """Whatever pillow raises for a file that is not as it should be, in words."""
    hint = "open it in an image viewer; it may be truncated, or no picture at all"
    try:
        with warnings.catch_warnings():
            # Of odd metadata and of palettes with transparency; too many pixels are refused.
            warnings.simplefilter("ignore")
            yield
    except Image.DecompressionBombError as error:
        raise PreprocessError(
            f"{name}: too many pixels ({error})", hint=f"the limit is {largest_pixels:,} pixels"
        ) from error
    except UnidentifiedImageError as error:
        raise PreprocessError(
            f"{name}: not a picture of a format that is read ({', '.join(FORMATS)})", hint=hint
        ) from error
    except MemoryError as error:
        raise PreprocessError(f"{name}: no memory to unpack it", hint=hint) from error
    except _DAMAGED as error:
        reason = str(error) or type(error).__name__
        raise PreprocessError(f"{name}: damaged picture ({reason})", hint=hint) from error


def _upright_rgb(
    picture: Image.Image, name: str, largest_pixels: int, *, keep: bool = False
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """(H, W, 3) uint8, and what was done; ``keep`` leaves the picture itself as it is."""
    _require_readable(picture, name, largest_pixels)
    deep = _is_deep(picture)
    picture.load()
    notes = _notes(picture, deep=deep)
    if keep:
        picture = ImageOps.exif_transpose(picture)
    else:
        ImageOps.exif_transpose(picture, in_place=True)
    return np.ascontiguousarray(_rgb(picture)), notes


def _require_readable(picture: Image.Image, name: str, largest_pixels: int) -> None:
    """Refuse numbers without a scale, and sizes that no memory should be given for."""
    if picture.mode not in (*EIGHT_BIT_MODES, *SIXTEEN_BIT_MODES):
        raise PreprocessError(
            f"{name}: mode {picture.mode} has more than 16 bits a channel, or no known white",
            hint="convert it to 8-bit RGB with the software that made it",
        )
    width, height = picture.size
    if width < 1 or height < 1:
        raise PreprocessError(f"{name}: {width} x {height} pixels", hint="the picture is empty")
    if width * height > largest_pixels:
        raise PreprocessError(
            f"{name}: {width} x {height} are too many pixels",
            hint=f"the limit is {largest_pixels:,} pixels",
        )


def _is_deep(picture: Image.Image) -> bool:
    """Whether it is stored with 16 bits a channel; to be asked before it is unpacked.

    pillow opens 16-bit colour as RGB and keeps the upper 8 bits; only the raw mode tells.
    """
    raw_mode = any(";16" in str(tile.args) for tile in getattr(picture, "tile", ()))
    return picture.mode in SIXTEEN_BIT_MODES or (picture.format in DEEP_FORMATS and raw_mode)


def _notes(picture: Image.Image, *, deep: bool) -> tuple[str, ...]:
    """What is done to a picture on its way to upright 8-bit RGB."""
    orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    if picture.format == FORMAT:
        orientation = picture.info.get("original_orientation") or 1
        deep = picture.info.get("bit_depth", 8) > 8
    has_alpha = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    said = {
        f"turned upright (EXIF orientation {orientation}); no pixel changed": (
            orientation in TURNED
        ),
        "several frames: the first is taken": bool(getattr(picture, "is_animated", False)),
        "more than 8 bits a channel: the upper 8 are kept": deep,
        "grey: three equal channels": picture.mode in ("1", "L", "LA", *SIXTEEN_BIT_MODES),
        "palette: its colours": picture.mode in ("P", "PA"),
        "CMYK: converted without a colour profile": picture.mode == "CMYK",
        "transparency dropped, not blended": has_alpha,
    }
    return tuple(text for text, true in said.items() if true)


def _rgb(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8. ``convert`` would clip 16-bit grey at 255 instead of scaling it."""
    if picture.mode in SIXTEEN_BIT_MODES:
        upper = (np.asarray(picture).astype(np.uint16, copy=False) >> 8).astype(np.uint8)
        return np.stack([upper] * 3, axis=2)
    return np.asarray(picture.convert("RGB"))


def to_input(rgb: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """``(rgb / scale - mean) / std`` as (1, C, H, W) float32, computed in float64, rounded once.

    Args:
        rgb: (H, W, 3) uint8.
        preprocessing: the network's contract.

    Raises:
        PreprocessError: not (H, W, 3) uint8.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise PreprocessError(
            f"an image must be (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}",
            hint="decode it with trufor_onnx.export.networks.preprocess.read_image",
        )
    if preprocessing.channels == GREY:
        rgb = np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).convert(GREY))[:, :, None]
    # A table of the 256 possible values a channel is exact and quicker than the arithmetic.
    levels = np.arange(256, dtype=np.float64) / preprocessing.scale
    planes = [
        ((levels - mean) / std).astype(np.float32)[rgb[:, :, channel]]
        for channel, (mean, std) in enumerate(
            zip(preprocessing.mean, preprocessing.std, strict=True)
        )
    ]
    return np.stack(planes)[np.newaxis]
