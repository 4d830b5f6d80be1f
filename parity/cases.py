"""What the networks are run on: images, and batches of crops of given shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from chunking.errors import UserError
from chunking.hashing import sha256_file
from export.preprocess import read_image
from export.spec import ModelSpec
from parity.errors import ParityError

SHAPE_PREFIX = "shape:"

FIXED_BATCHES = (1, 2)  # all that can be varied where the size is fixed

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
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
        """(H, W, 3) uint8 and the digest of the file.

        Raises:
            PreprocessError: the picture cannot be decoded.
            ParityError: it is no regular file, or not the one that the manifest lists.
        """
        self._require_file()
        image = read_image(self.path)
        self._require_listed(image.sha256)
        return image.rgb, image.sha256

    def digest(self) -> str:
        """The SHA-256 of the file, without decoding it.

        Raises:
            ParityError: as for `load`.
        """
        self._require_file()
        try:
            digest = sha256_file(self.path)
        except OSError as error:
            raise ParityError(
                f"{self.path}: cannot be read ({error.strerror})", hint="check its permissions"
            ) from error
        self._require_listed(digest)
        return digest

    def _require_file(self) -> None:
        """A named pipe would be waited for without end."""
        if not self.path.is_file():
            what = "not a regular file" if self.path.exists() else "no such file"
            raise ParityError(f"{self.path}: {what}", hint="restore it, or take it out")

    def _require_listed(self, sha256: str) -> None:
        if self.expected_sha256 and sha256 != self.expected_sha256:
            raise ParityError(
                f"{self.path}: not the file that the manifest lists (SHA-256 {sha256[:16]})",
                hint="restore the data set: `git checkout sample_dataset` or `make dataset`",
            )


@dataclass(frozen=True)
class Case:
    """One thing to run: an image as it is, or a batch of crops of one size.

    Attributes:
        name: the picture's name, or ``shape:101x77``, ``shape:2x96x128``.
        pictures: several make a batch; one that appears again is mirrored, because a batch of
            equal images would not show that its members were mixed up.
        size: height and width to crop (or mirror) to, or None for the image as it is.
    """

    name: str
    pictures: tuple[Picture, ...]
    size: tuple[int, int] | None = None

    @property
    def label(self) -> str:
        """The first picture's."""
        return self.pictures[0].label

    def load(self) -> tuple[Pixels, str]:
        """(B, H, W, 3) uint8 and the digest of the first image's file.

        Raises:
            UserError: a picture cannot be used; see `Picture.load`.
        """
        images: list[Pixels] = []
        first = ""
        for index, picture in enumerate(self.pictures):
            rgb, sha256 = picture.load()
            first = first or sha256
            image = rgb if self.size is None else fit(rgb, self.size)
            images.append(image[:, ::-1] if picture in self.pictures[:index] else image)
        return np.stack(images), first

    def digests(self) -> list[str]:
        """The digests of all its files.

        Raises:
            UserError: a picture cannot be used; see `Picture.load`.
        """
        return [picture.digest() for picture in self.pictures]


def readable(pictures: Sequence[Picture], *, wanted: int) -> list[Picture]:
    """The first pictures that can be used, at most ``wanted``.

    Raises:
        ParityError: none can; the first reasons are given.
    """
    found: list[Picture] = []
    problems: list[str] = []
    for picture in pictures:
        try:
            picture.load()
        except UserError as error:
            problems.append(error.problem)
            continue
        found.append(picture)
        if len(found) == wanted:
            break
    if not found:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ParityError(
            f"no image can be read: {'; '.join(problems[:3])}{more}",
            hint="name a folder of images with --images",
        )
    return found


def shape_cases(spec: ModelSpec, pictures: Sequence[Picture]) -> list[Case]:
    """The shape matrix of a network, cut from readable pictures.

    The traced size proves nothing about the others: so a non-square, a non-multiple of 32, an odd
    size, the smallest allowed and a batch of two are always run.
    """
    cases = []
    own = spec.inputs[0].axes[0]
    matrix = {(own if isinstance(own, int) else batch, size) for batch, size in _shapes(spec)}
    for batch, size in sorted(matrix):
        name = SHAPE_PREFIX + "x".join(map(str, size if batch == 1 else (batch, *size)))
        batched = tuple(pictures[index % len(pictures)] for index in range(batch))
        cases.append(Case(name, batched, size))
    return cases


def admitted_shapes(axes: Sequence[int | str]) -> int | None:
    """How many shapes the matrix has for a network of one size; None where sizes are free.

    Args:
        axes: of its first input, (batch, channels, height, width).
    """
    if len(axes) != 4 or not all(isinstance(axis, int) for axis in axes[2:]):
        return None
    return 1 if isinstance(axes[0], int) else len(FIXED_BATCHES)


def _shapes(spec: ModelSpec) -> Iterator[tuple[int, tuple[int, int]]]:
    """Batch and (height, width)."""
    if spec.fixed_size:
        yield from ((batch, spec.fixed_size) for batch in FIXED_BATCHES)
        return
    yield 1, spec.trace_size
    yield 1, (spec.least_size, spec.least_size)
    # Not square the other way round; multiples of 8 but not of 32; odd; a batch.
    for batch, (height, width) in ((1, (160, 96)), (1, (200, 136)), (1, (101, 77)), (2, (96, 128))):
        # For networks that take large images only: larger, and the same modulo 32.
        more = max(0, -(-(spec.least_size - min(height, width)) // 32) * 32)
        yield batch, (height + more, width + more)


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
