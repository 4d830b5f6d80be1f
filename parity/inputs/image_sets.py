"""Which images a run takes: a folder, a manifest, a glob or one file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from trufor_onnx.documents import parse_json
from trufor_onnx.errors import ParityError
from trufor_onnx.finding import SUFFIXES, images_below, is_image_name, is_pattern, matching
from trufor_onnx.parity.inputs.cases import MADE_PREFIX, ImageFile, is_made

LABELS = ("real", "fake")
LARGEST = 64 << 20  # bytes
HINT = 'it must hold {"images": [{"file": "real/x.png", "label": "real", "sha256": "..."}]}'
SHA256 = re.compile(r"[0-9a-f]{64}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
NOT_IMAGES = ("masks", "mask")  # folders of ground truth
SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True)
class ListedImage:
    """One image of a data set.

    Attributes:
        file: path below the data set's folder, with forward slashes.
        label: ``real``, ``fake`` or "".
        sha256: the digest of the file, or "" where the manifest gives none.
        mask: path of the ground truth, white where forged, or "".
    """

    file: str
    label: str
    sha256: str
    mask: str


def read_manifest(path: Path) -> list[ListedImage]:
    """The images that a manifest lists, in its order. Other keys are left to others.

    Raises:
        ParityError: it is no such manifest, names a file outside its folder, or one twice.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ParityError(f"{path}: too large for a manifest", hint=HINT)
        document = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ParityError(f"{path}: not a readable manifest ({error})", hint=HINT) from error
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        raise ParityError(f"{path}: not a manifest of images", hint=HINT)
    version = document.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise ParityError(
            f"{path}: schema version {version}, this tool reads {SCHEMA_VERSION}", hint=HINT
        )
    entries = [_entry(path, image) for image in images]
    seen: set[str] = set()
    for entry in entries:
        if entry.file in seen:
            raise ParityError(f"{path}: lists {entry.file!r} twice", hint=HINT)
        seen.add(entry.file)
    return entries


def _entry(path: Path, image: dict[str, Any]) -> ListedImage:
    """One entry, checked. ``null`` stands for a value that is not given."""
    values = [image.get(key) for key in ("file", "label", "sha256", "mask")]
    given = ["" if value is None else value for value in values]
    if not all(isinstance(value, str) for value in given) or not given[0]:
        raise ParityError(f"{path}: an entry has no usable file, label or sha256", hint=HINT)
    file, label, sha256, mask = given
    if label and label not in LABELS:
        raise ParityError(f"{path}: {file!r} is labelled {label!r}, not {LABELS}", hint=HINT)
    if sha256 and not SHA256.fullmatch(sha256):
        raise ParityError(f"{path}: the sha256 of {file!r} is no SHA-256", hint=HINT)
    return ListedImage(_inside(path, file), label, sha256, _inside(path, mask) if mask else "")


def _inside(path: Path, file: str) -> str:
    """A path that stays in the folder, in its shortest spelling."""
    parts = PurePosixPath(file)
    outside = parts.is_absolute() or ".." in parts.parts or not parts.parts
    if outside or "\\" in file or CONTROL.search(file):
        raise ParityError(f"{path}: {file!r} lies outside the data set's folder", hint=HINT)
    return parts.as_posix()


def find_images(where: Path, *, most: int | None = None) -> list[ImageFile]:
    """The images of a data set, in order of their names or of the manifest.

    Args:
        where: a folder, a manifest (``*.json``), a pattern such as ``photos/**/*.jpg``, or one
            image. A folder with a ``manifest.json`` has the images and labels that it lists; in
            any other, all pictures below it count, but for folders called ``masks`` and hidden
            ones. Folders called ``real`` and ``fake`` label what is in them.
        most: only the first so many.

    Raises:
        ParityError: no such place, it cannot be listed, or there are no images in it.
    """
    if most is not None and most < 1:
        raise ParityError("--max-images must be 1 or more", hint="leave it out for all images")
    if where.is_dir():
        manifest = where / MANIFEST_NAME
        found = _from_manifest(manifest) if manifest.is_file() else _below(where)
    elif where.is_file():
        is_manifest = where.suffix == ".json"
        found = _from_manifest(where) if is_manifest else [_picture(where, where.parent)]
    elif is_pattern(where):
        found = _matching(str(where))
    else:
        raise ParityError(
            f"no folder {where}", hint="name a folder of images with --images; `make dataset`"
        )
    taken = next((picture.name for picture in found if is_made(picture.name)), None)
    if taken is not None:  # its rows would be taken for those of a made picture
        raise ParityError(
            f"{where}: an image called {taken}",
            hint=f"rename it: names that begin with {MADE_PREFIX} are those of made pictures",
        )
    if not found:
        raise ParityError(
            f"no images in {where}", hint=f"looked for {', '.join(SUFFIXES)} in all its folders"
        )
    return found[:most]


def describe(pictures: Iterable[ImageFile]) -> dict[str, Any]:
    """Counts for the report."""
    labels = [picture.label for picture in pictures]
    return {"images": len(labels), **{label: labels.count(label) for label in LABELS}}


def _from_manifest(path: Path) -> list[ImageFile]:
    return [
        ImageFile(path.parent / entry.file, entry.file, entry.label, entry.sha256)
        for entry in read_manifest(path)
    ]


def _below(folder: Path) -> list[ImageFile]:
    """All pictures below a folder, but for ground truth."""
    found = images_below(folder, refuse=_refuse, left_out=lambda below: below.name in NOT_IMAGES)
    return [_picture(path, folder) for path in found]


def _matching(pattern: str) -> list[ImageFile]:
    """What a pattern matches, named from its first part that is no pattern."""
    try:
        base, matches = matching(pattern)
    except (ValueError, OSError) as error:
        raise ParityError(
            f"{pattern}: no pattern that can be used ({error})",
            hint="quote it for the shell: --images 'photos/**/*.jpg'",
        ) from error
    return [
        _picture(path, base)
        for path in matches
        if is_image_name(path.name)
        and not path.is_dir()
        and all(_counts(part) for part in path.relative_to(base).parts[:-1])
    ]


def _picture(path: Path, folder: Path) -> ImageFile:
    below = path.relative_to(folder)
    parts = (folder.absolute().name, *below.parts[:-1])
    label = next((part.lower() for part in reversed(parts) if part.lower() in LABELS), "")
    return ImageFile(path, below.as_posix(), label)


def _counts(folder: str) -> bool:
    return folder not in NOT_IMAGES and not folder.startswith(".")


def _refuse(error: OSError) -> NoReturn:
    raise ParityError(
        f"{error.filename}: cannot be listed ({error.strerror})",
        hint="check its permissions; a data set that is read in part proves less than it seems",
    ) from error
