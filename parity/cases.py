"""What the networks are run on: the data set's images, and shapes cut from them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.preprocess import SUFFIXES, read_image
from export.spec import ModelSpec
from parity.errors import ParityError

LABELS = ("real", "fake")
NOT_IMAGES = ("masks", "mask")  # folders of ground truth
MANIFEST = "manifest.json"
SHAPE_PREFIX = "shape:"

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """One thing to run: an image, or a batch of crops of a given size.

    Attributes:
        name: the path below the data set, or ``shape:101x77``, ``shape:2x96x128``.
        label: ``real``, ``fake`` or "".
        paths: the images; several make a batch.
        size: height and width to crop (or mirror) to, or None for the image as it is.
        expected_sha256: what the data set's manifest says of the file ("" where it does not).
    """

    name: str
    label: str
    paths: tuple[Path, ...]
    size: tuple[int, int] | None = None
    expected_sha256: str = ""

    def load(self) -> tuple[Pixels, str]:
        """(B, H, W, 3) uint8 and the digest of the first image's file.

        Raises:
            PreprocessError: a picture cannot be read.
            ParityError: it is not the file that the manifest lists.
        """
        images = [read_image(path) for path in self.paths]
        sha256 = images[0].sha256
        if self.expected_sha256 and sha256 != self.expected_sha256:
            raise ParityError(
                f"{self.name}: not the file that {MANIFEST} lists (SHA-256 {sha256[:16]})",
                hint="restore the data set: `git checkout sample_dataset` or `make dataset`",
            )
        pixels = [i.rgb if self.size is None else fit(i.rgb, self.size) for i in images]
        return np.stack(pixels), sha256


def find_images(folder: Path, *, most: int | None = None) -> list[Case]:
    """The images of a data set, in order of their paths.

    A folder with a ``manifest.json`` has the images and labels that it lists; in any other, all
    pictures below it count (but for folders called ``masks``), and folders called ``real`` and
    ``fake`` label theirs.

    Raises:
        ParityError: no such folder, or no images in it.
    """
    if not folder.is_dir():
        raise ParityError(
            f"no folder {folder}", hint="name a folder of images with --images; `make dataset`"
        )
    if most is not None and most < 1:
        raise ParityError("--max-images must be 1 or more", hint="leave it out for all images")
    listed = (folder / MANIFEST).is_file()
    cases = _from_manifest(folder) if listed else list(_walk(folder))
    if not cases:
        raise ParityError(
            f"no images in {folder}", hint=f"looked for {', '.join(SUFFIXES)} in all its folders"
        )
    return cases[:most]


def shape_cases(spec: ModelSpec, images: list[Case]) -> list[Case]:
    """The shape matrix of a network, cut from the first images of the data set.

    The traced size proves nothing about the others: so a non-square, a non-multiple of 32, an odd
    size, the smallest allowed and a batch of two are always run.
    """
    if spec.fixed_size:
        sizes = {(1, spec.fixed_size), (2, spec.fixed_size)}
    else:
        least = (spec.least_size, spec.least_size)
        sizes = {
            (1, spec.trace_size),
            (1, (160, 96)),  # not square, the other way round
            (1, (200, 136)),  # multiples of 8, not of 32
            (1, (101, 77)),  # odd
            (1, least),
            (2, (96, 128)),
        }
    cases = []
    for batch, size in sorted(sizes):
        name = SHAPE_PREFIX + "x".join(map(str, size if batch == 1 else (batch, *size)))
        paths = tuple(images[index % len(images)].paths[0] for index in range(batch))
        cases.append(Case(name, images[0].label, paths, size))
    return cases


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


def _walk(folder: Path) -> Iterator[Case]:
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_IMAGES and name[0] != "."]
        found += [Path(root) / name for name in names if name.lower().endswith(SUFFIXES)]
    for path in sorted(found, key=lambda path: path.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix()
        yield Case(name, _label(path.relative_to(folder).parts[:-1]), (path,))


def _label(parts: tuple[str, ...]) -> str:
    return next((part for part in reversed(parts) if part in LABELS), "")


def _from_manifest(folder: Path) -> list[Case]:
    from parity.manifest import read_manifest

    return [
        Case(entry.file, entry.label, (folder / entry.file,), expected_sha256=entry.sha256)
        for entry in read_manifest(folder / MANIFEST)
    ]


def describe(cases: list[Case]) -> dict[str, Any]:
    """Counts for the report."""
    return {
        "images": len(cases),
        **{label: sum(case.label == label for case in cases) for label in LABELS},
    }
