"""What the pictures of a data set show: copies and flat ones prove nothing.

Twelve copies of one picture are one picture, whatever their files are called and whatever text
they carry; a file that ignores its input is right on a black picture. So a picture counts if it is
not flat and differs in its pixels from those before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ParityError, UserError
from trufor_onnx.parity.inputs.cases import (
    HeldImage,
    ImageFile,
    LoadedCase,
    Pixels,
    fit,
    none_readable,
)

Thumb = npt.NDArray[np.int16]

# Flat: but for one pixel in a thousand, all within two levels of one colour.
FLAT_LEVELS = 2
FLAT_SHARE = 0.999
# Nearly the same: of 32 x 32 block means, all but five within two levels: some pixels changed, or
# noise of a level. The smallest forgery of sample_dataset/ moves 19 blocks, which is why a copy
# that was compressed again (4 to 450 blocks) cannot be told from one, and counts as a picture.
THUMB = 32
ALIKE_LEVELS = 2
MOST_UNLIKE = 5
MEANS_APART = 4  # levels; of pictures that are alike, means differ by less


@dataclass(frozen=True)
class Look:
    """What one picture shows.

    Attributes:
        name: the picture's.
        sha256: the digest of its file.
        pixels_sha256: the digest of its decoded pixels, as the network takes them.
        flat: of one colour, or nearly so.
        like: ``pixels_sha256`` of the first picture that it equals, or nearly equals: its own
            where it shows something new.
    """

    name: str
    sha256: str
    pixels_sha256: str
    flat: bool
    like: str


class Looks:
    """What a network's pictures show, noted while they are run: each is in memory once.

    Args:
        size: height and width to which a network of fixed size crops them, or None.

    Attributes:
        found: the looks so far, in order.
    """

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        self.found: list[Look] = []
        self._size = size
        self._known = _Known()

    def add(self, name: str, rgb: Pixels, file_sha256: str) -> Look:
        """Note a picture.

        Args:
            name: the picture's.
            rgb: (H, W, 3) uint8.
            file_sha256: the digest of its file.
        """
        seen = rgb if self._size is None else fit(rgb, self._size)
        digest = _digest(seen)
        like = self._known.first_like(digest, seen)
        look = Look(name, file_sha256, digest, is_flat(seen), like)
        self.found.append(look)
        return look

    def add_given(self, name: str, loaded: LoadedCase) -> Look:
        """Note a case of arrays: it counts by what is in them."""
        digest, arrays = loaded.pixels_sha256, (loaded.given or {}).values()
        flat = all(array.size == 0 or bool((array == array.flat[0]).all()) for array in arrays)
        look = Look(name, loaded.sha256, digest, flat, digest)
        self.found.append(look)
        return look


def telling(
    pictures: Iterable[ImageFile], *, wanted: int, size: tuple[int, int] | None = None
) -> list[HeldImage]:
    """The first pictures that show something, at most ``wanted``, with their pixels.

    No further picture is read than it takes to find them. Those that cannot be read are left out:
    their rows say why.

    Args:
        pictures: the data set.
        wanted: how many, which are then in memory.
        size: height and width to which a network of fixed size crops them, or None.

    Raises:
        ParityError: none can be read, or none shows something.
    """
    looks = Looks(size)
    found: dict[str, HeldImage] = {}
    problems: list[str] = []
    for picture in pictures:
        try:
            held = picture.held()
        except UserError as error:
            problems.append(error.problem)
            continue
        look = looks.add(held.name, held.rgb, held.sha256)
        if not look.flat:
            found.setdefault(look.like, held)
        if len(found) == wanted:
            break
    if not looks.found:
        raise none_readable(problems)
    if not found:
        count = len(looks.found)
        shown = f"all {count} images are" if count > 1 else "the only image is"
        raise ParityError(
            f"{shown} of one colour ({looks.found[0].name}): a file that ignores its input would "
            "pass on them, so they prove nothing",
            hint="name a folder of photographs with --images (flat pictures are run in any case)",
        )
    return list(found.values())


def document(looks: Sequence[Look]) -> dict[str, Any]:
    """What the report has of a network's pictures: counts, and each file's look by its digest."""
    pixels = [look.pixels_sha256 for look in looks]
    return {
        "images": len(looks),
        "different": len({look.like for look in looks if not look.flat}),
        "flat": sum(look.flat for look in looks),
        "copies": len(pixels) - len(set(pixels)),
        "nearly_the_same": len(set(pixels)) - len({look.like for look in looks}),
        "looks": {
            look.sha256: {
                "pixels_sha256": look.pixels_sha256,
                "flat": look.flat,
                "like": look.like,
            }
            for look in looks
        },
    }


def different(about: Mapping[str, Any], files: Iterable[str]) -> int:
    """How many different pictures that are not flat there are among measured files.

    A file of which the report says nothing is not counted: it may be a copy.

    Args:
        about: a network's part of a report.
        files: digests of the files.
    """
    data_set = about.get("data_set")
    looks = data_set.get("looks") if isinstance(data_set, Mapping) else None
    if not isinstance(looks, Mapping):
        return 0
    found = [looks[sha256] for sha256 in set(files) if isinstance(looks.get(sha256), Mapping)]
    return len({look["like"] for look in found if look.get("like") and look.get("flat") is False})


def is_flat(pixels: Pixels) -> bool:
    """Whether (H, W, 3) pixels are of one colour, but for a speck and the noise of a sensor."""
    height, width = pixels.shape[:2]
    sample = pixels[:: max(1, height // 64), :: max(1, width // 64)]
    colour = np.median(sample.reshape(-1, 3), axis=0).astype(np.int16)
    low = np.clip(colour - FLAT_LEVELS, 0, 255).astype(np.uint8)
    high = np.clip(colour + FLAT_LEVELS, 0, 255).astype(np.uint8)
    near = ((pixels >= low) & (pixels <= high)).all(axis=2)
    return bool(near.mean() >= FLAT_SHARE)


def _digest(pixels: Pixels) -> str:
    """Of the size too: a picture and its rows in another order of the same bytes differ."""
    shape = "x".join(map(str, pixels.shape))
    return sha256(shape.encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _thumb(pixels: Pixels) -> Thumb:
    """(32, 32, 3) means of blocks."""
    from PIL import Image

    small = Image.fromarray(np.ascontiguousarray(pixels)).resize(
        (THUMB, THUMB), Image.Resampling.BOX
    )
    return np.asarray(small).astype(np.int16)


class _Known:
    """The pictures so far, found by their mean colour: ten thousand are not compared in pairs."""

    def __init__(self) -> None:
        self._like: dict[str, str] = {}
        self._near: dict[tuple[int, ...], list[tuple[str, Thumb]]] = {}

    def first_like(self, digest: str, pixels: Pixels) -> str:
        """The digest of the first picture that is the same or nearly so; its own for a new one."""
        if digest not in self._like:
            thumb = _thumb(pixels)
            place = tuple(int(mean // MEANS_APART) for mean in thumb.mean(axis=(0, 1)))
            self._like[digest] = self._among(thumb, place) or digest
            if self._like[digest] == digest:
                self._near.setdefault(place, []).append((digest, thumb))
        return self._like[digest]

    def _among(self, thumb: Thumb, place: tuple[int, ...]) -> str:
        for around in itertools.product(*((n - 1, n, n + 1) for n in place)):
            for digest, other in self._near.get(around, ()):
                unlike = (np.abs(thumb - other) > ALIKE_LEVELS).any(axis=2)
                if int(unlike.sum()) <= MOST_UNLIKE:
                    return digest
        return ""
