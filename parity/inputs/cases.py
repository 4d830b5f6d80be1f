"""What networks are run on, read once: an image, a batch of crops, a made picture; their inputs.

A case is loaded once, and everything that is told of it is made of what was read: its rows, its
key in the journal, what it shows, the pictures of the report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ParityError, UserError
from trufor_onnx.export.networks.preprocess import read_image, to_input
from trufor_onnx.export.networks.spec import ModelSpec, Preprocessing

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]

# Made pictures: a network that divides by a picture's own spread gives NaN on a flat one, and a
# file that lost the epsilon beside the spread is found there and nowhere else. They are judged one
# by one, never for the accuracy ratio: on a flat picture every pixel repeats one rounding, so the
# ratio of two errors is chance (docs/decisions/cases.md).
MADE_PREFIX = "made:"  # no file of a data set may be called so
LEVELS = {"black": 0, "grey": 128, "white": 255}
SATURATED = "saturated"
KINDS = (*LEVELS, SATURATED)
BLOCK = 8  # pixels a side of a block of one pure colour


@dataclass(frozen=True)
class Made:
    """A picture without a file; it stands where a `parity.inputs.cases.ImageFile` does.

    Attributes:
        kind: ``black``, ``grey``, ``white`` or ``saturated``.
        size: height and width.
        label: none; a made picture is neither real nor fake.
    """

    kind: str
    size: tuple[int, int]
    label: str = ""

    @property
    def name(self) -> str:
        """``made:black``."""
        return MADE_PREFIX + self.kind

    def load(self) -> tuple[Pixels, str]:
        """(H, W, 3) uint8 and the digest of the pixels."""
        pixels = _saturated(self.size) if self.kind == SATURATED else _flat(self.size, self.kind)
        return pixels, sha256(pixels.tobytes()).hexdigest()

    def digest(self) -> str:
        """The digest of the pixels."""
        return self.load()[1]


def is_made(image: str) -> bool:
    """Whether a row of this image is about a made picture."""
    return image.startswith(MADE_PREFIX)


def _flat(size: tuple[int, int], kind: str) -> Pixels:
    return np.full((*size, 3), LEVELS[kind], dtype=np.uint8)


def _saturated(size: tuple[int, int]) -> Pixels:
    """Blocks of the eight pure colours on the left, a checkerboard of black and white right."""
    row, column = np.indices(size)
    corner = (row // BLOCK + 3 * (column // BLOCK)) % 8
    blocks = np.stack([(corner >> bit) & 1 for bit in range(3)], axis=2)
    board = np.broadcast_to(((row + column) % 2)[:, :, np.newaxis], blocks.shape)
    right = (column >= size[1] // 2)[:, :, np.newaxis]
    return (np.where(right, board, blocks) * 255).astype(np.uint8)


@dataclass(frozen=True)
class ImageFile:
    """An image file of a data set.

    Attributes:
        path: the file.
        name: its path below the data set, with forward slashes.
        label: ``real``, ``fake`` or "".
        expected_sha256: what the data set's manifest says of the file ("" where it does not).
    """

    path: Path
    name: str
    label: str = ""
    expected_sha256: str = ""

    def load(self) -> tuple[Pixels, str]:
        """(H, W, 3) uint8 and the digest of the file, which is opened once.

        Raises:
            PreprocessError: the picture cannot be decoded.
            ParityError: it is no regular file, or not the one that the manifest lists.
        """
        self._require_file()
        image = read_image(self.path)
        if self.expected_sha256 and image.sha256 != self.expected_sha256:
            raise ParityError(
                f"{self.path}: not the file that the manifest lists (SHA-256 {image.sha256[:16]})",
                hint="restore the data set: `git checkout sample_dataset` or `make dataset`",
            )
        return image.rgb, image.sha256

    def held(self) -> HeldImage:
        """The same image with its pixels: it is not opened again.

        Raises:
            UserError: as for `load`.
        """
        rgb, digest = self.load()
        own = (self.path, self.name, self.label, self.expected_sha256)
        return HeldImage(*own, rgb=rgb, sha256=digest)

    def _require_file(self) -> None:
        """A named pipe would be waited for without end."""
        if not self.path.is_file():
            what = "not a regular file" if self.path.exists() else "no such file"
            raise ParityError(f"{self.path}: {what}", hint="restore it, or take it out")


@dataclass(frozen=True, kw_only=True)
class HeldImage(ImageFile):
    """An image file that was read, and whose pixels are kept in memory.

    Attributes:
        rgb: (H, W, 3) uint8.
        sha256: the digest of the file.
    """

    rgb: Pixels = field(compare=False, repr=False)
    sha256: str

    def load(self) -> tuple[Pixels, str]:
        """(H, W, 3) uint8 and the digest of the file as it was read."""
        return self.rgb, self.sha256

    def held(self) -> HeldImage:
        """Itself."""
        return self


@dataclass(frozen=True)
class Case:
    """One thing to run: an image as it is, a batch of crops of one size, or a made picture.

    Attributes:
        name: the picture's name, or ``shape:101x77``, ``shape:2x96x128``, ``made:black``.
        pictures: several make a batch; one that appears again is turned, because a batch of
            equal images would not show that its members were mixed up.
        size: height and width to crop (or mirror) to, or None for the image as it is.
    """

    name: str
    pictures: tuple[ImageFile | Made, ...]
    size: tuple[int, int] | None = None

    @property
    def label(self) -> str:
        """The first picture's."""
        return self.pictures[0].label

    @property
    def made(self) -> str:
        """The kind of a made picture; "" for any other case."""
        return next((item.kind for item in self.pictures if isinstance(item, Made)), "")

    def load(self) -> LoadedCase:
        """The case with its pixels.

        Raises:
            UserError: a picture cannot be used; see `ImageFile.load`.
        """
        images: list[Pixels] = []
        digests: list[str] = []
        for index, picture in enumerate(self.pictures):
            rgb, digest = picture.load()
            digests.append(digest)
            image = rgb if self.size is None else fit(rgb, self.size)
            images.append(_turned(image, self.pictures[:index].count(picture)))
        return LoadedCase(self, np.stack(images), tuple(digests))


@dataclass(frozen=True, eq=False)
class LoadedCase:
    """A case whose files were read.

    Attributes:
        case: which.
        pixels: (B, H, W, 3) uint8, cropped, mirrored and stacked as they are run.
        digests: SHA-256 of its files, in order; of a made picture that of its pixels.
        given: arrays by the inputs' names, of a case that is no picture
            (`parity.inputs.feeds`); its ``pixels`` are then the arrays' bytes.
    """

    case: Case
    pixels: Pixels
    digests: tuple[str, ...]
    given: Mapping[str, Array] | None = None

    @property
    def name(self) -> str:
        """The case's."""
        return self.case.name

    @property
    def sha256(self) -> str:
        """The digest of the first image's file."""
        return self.digests[0]

    @cached_property
    def pixels_sha256(self) -> str:
        """The digest of the pixels."""
        return pixels_digest(self.pixels)


def pixels_digest(pixels: Pixels) -> str:
    """SHA-256 of decoded pixels, row by row."""
    return sha256(np.ascontiguousarray(pixels).reshape(-1).data).hexdigest()


def readable(pictures: Sequence[ImageFile], *, wanted: int) -> list[HeldImage]:
    """The first pictures that can be used, at most ``wanted``, with their pixels.

    Raises:
        ParityError: none can; the first reasons are given.
    """
    found: list[HeldImage] = []
    problems: list[str] = []
    for picture in pictures:
        try:
            found.append(picture.held())
        except UserError as error:
            problems.append(error.problem)
            continue
        if len(found) == wanted:
            break
    if not found:
        raise none_readable(problems)
    return found


def none_readable(problems: Sequence[str]) -> ParityError:
    """The error of a data set of which no picture can be used, with the first reasons."""
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return ParityError(
        f"no image can be read: {'; '.join(problems[:3])}{more}",
        hint="name a folder of images with --images",
    )


def _turned(image: Pixels, times: int) -> Pixels:
    """A picture that appears for the n-th time in a batch: mirrored, upside down, both, shifted."""
    if times & 1:
        image = image[:, ::-1]
    if times & 2:
        image = image[::-1]
    return np.roll(image, times, axis=1) if times > 3 else image


def fit(rgb: Pixels, size: tuple[int, int]) -> Pixels:
    """The middle of a picture at ``size``, mirrored at its edges where it is smaller.

    Never resized: real pixels only.
    """
    for axis, wanted in enumerate(size):
        have = rgb.shape[axis]
        if have < wanted:
            before = (wanted - have) // 2
            widths = [(0, 0)] * 3
            widths[axis] = (before, wanted - have - before)
            rgb = np.pad(rgb, widths, mode="symmetric")
        start = (rgb.shape[axis] - wanted) // 2
        rgb = rgb.take(range(start, start + wanted), axis=axis)
    return np.ascontiguousarray(rgb)


def make_feeds(
    spec: ModelSpec,
    pixels: Pixels,
    preprocessing: Preprocessing,
    noiseprint: Callable[[Pixels], Array] | None = None,
) -> dict[str, Array]:
    """The inputs for a batch of images; every backend gets the same numbers.

    Args:
        spec: the network.
        pixels: (B, H, W, 3) uint8.
        preprocessing: the contract of the first input.
        noiseprint: gives the (B, 1, H, W) Noiseprint++ map, for networks whose second input it is.

    Raises:
        ParityError: the image is smaller than the network allows, or an input has no rule.
    """
    if spec.fixed_size:
        pixels = np.stack([fit(image, spec.fixed_size) for image in pixels])
    height, width = pixels.shape[1:3]
    if min(height, width) < spec.least_size:
        raise ParityError(
            f"{height} x {width} pixels are fewer than {spec.name} takes",
            hint=f"the least is {spec.least_size} x {spec.least_size}",
        )
    image = np.concatenate([to_input(picture, preprocessing) for picture in pixels])
    feeds: dict[str, Array] = {spec.inputs[0].name: image.astype(spec.inputs[0].dtype, copy=False)}
    if spec.second_input == "noiseprint":
        if noiseprint is None:
            raise ParityError(f"{spec.name} needs a Noiseprint++ map", hint="a fault in the caller")
        second = spec.inputs[1]
        channels = second.axes[1] if isinstance(second.axes[1], int) else 1
        single = noiseprint(pixels).astype(np.float32)
        feeds[second.name] = np.ascontiguousarray(np.repeat(single, channels, axis=1))
    if set(feeds) != {tensor.name for tensor in spec.inputs}:
        raise ParityError(
            f"{spec.name} has inputs that no rule makes: "
            f"{', '.join(t.name for t in spec.inputs if t.name not in feeds)}",
            hint="its spec's second_input says how the second one is made",
        )
    return feeds
