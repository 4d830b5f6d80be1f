"""Whatever a caller has as an image, as pixels."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from trufor_onnx.errors import ImageError, OutputError, UserError
from trufor_onnx.export.networks.preprocess import decode, from_pillow, read_image
from trufor_onnx.files import sha256_bytes
from trufor_onnx.finding import HEIC_SUFFIXES, SUFFIXES, images_below, is_pattern, matching

# 50-megapixel phones; a header can claim any size, and memory is given for the claim.
LARGEST_PIXELS = 64_000_000

ImageLike = str | PathLike[str] | bytes | Image.Image | npt.NDArray[np.uint8]


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


@dataclass(frozen=True)
class Found:
    """An image to analyse.

    Attributes:
        path: the file.
        name: its path below what was named, with forward slashes; results are named after it.
    """

    path: Path
    name: str


def find_images(where: Sequence[str | Path], *, beside: Path | None = None) -> list[Found]:
    """The images that are meant, in order, each once.

    Args:
        where: files, folders (all pictures below them; hidden ones are left out, links to folders
            are followed, each real folder once) and patterns such as ``photos/**/*.jpg``. A file
            that is named is taken whatever its suffix.
        beside: a folder that is not searched: the results'.

    Raises:
        ImageError: there is no such place, or none of them holds an image.
        OutputError: two images would have results of the same name, or results would be taken
            for images.
    """
    found: dict[str, Found] = {}
    by_name: dict[str, Found] = {}
    for place in where:
        for image in _images_of(place, beside):
            real = os.path.realpath(image.path)
            if real in found:
                continue
            other = by_name.setdefault(image.name, image)
            if other is not image:
                raise OutputError(
                    f"{other.path} and {image.path} would both be called {image.name}",
                    hint="name the folder that holds both, or give each its own --out",
                )
            found[real] = image
    if not found:
        raise ImageError(
            f"no images in {', '.join(map(str, where)) or 'nothing'}",
            hint=f"looked for {', '.join(SUFFIXES + HEIC_SUFFIXES)} in all folders",
        )
    return list(found.values())


def _images_of(place: str | Path, beside: Path | None) -> Iterator[Found]:
    path = Path(place)
    if path.is_dir():
        if _is_below(path, beside):
            raise OutputError(
                f"{path} is in the folder for the results: they would be taken for images",
                hint="choose another --out",
            )
        below = images_below(
            path,
            refuse=_refuse,
            suffixes=SUFFIXES + HEIC_SUFFIXES,
            left_out=lambda folder: _is_below(folder, beside),
        )
        yield from _named(below, path)
    elif not path.exists() and is_pattern(place):
        try:
            base, matches = matching(place)
        except (ValueError, OSError) as error:
            raise ImageError(f"{place}: no pattern ({error})", hint="as photos/**/*.jpg") from error
        files = (match for match in matches if match.is_file())
        yield from _named((m for m in files if not _is_below(m, beside)), base)
    else:
        yield Found(path, path.name)  # what is absent is an error of this image, not of all


def _is_below(path: Path, folder: Path | None) -> bool:
    if folder is None:
        return False
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _named(paths: Iterable[Path], base: Path) -> Iterator[Found]:
    yield from (Found(path, path.relative_to(base).as_posix()) for path in paths)


def _refuse(error: OSError) -> None:
    raise ImageError(
        f"{error.filename}: cannot be listed ({error.strerror})", hint="check its permissions"
    ) from error
