"""Which images a run takes: a folder, a manifest, a glob or one file."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from export.preprocess import SUFFIXES
from parity.cases import Picture
from parity.dataset.manifest import MANIFEST_NAME
from parity.errors import ParityError
from parity.made import MADE_PREFIX, is_made
from parity.manifest import LABELS, read_manifest

NOT_IMAGES = ("masks", "mask")  # folders of ground truth


def find_images(where: Path, *, most: int | None = None) -> list[Picture]:
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
        found = _from_manifest(manifest) if manifest.is_file() else _walk(where)
    elif where.is_file():
        is_manifest = where.suffix == ".json"
        found = _from_manifest(where) if is_manifest else [_picture(where, where.parent)]
    elif glob.has_magic(str(where)):
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


def describe(pictures: Iterable[Picture]) -> dict[str, Any]:
    """Counts for the report."""
    labels = [picture.label for picture in pictures]
    return {"images": len(labels), **{label: labels.count(label) for label in LABELS}}


def _from_manifest(path: Path) -> list[Picture]:
    return [
        Picture(path.parent / entry.file, entry.file, entry.label, entry.sha256)
        for entry in read_manifest(path)
    ]


def _walk(folder: Path) -> list[Picture]:
    """All pictures below a folder; links to folders are followed, each real folder once."""
    top = Path(os.path.realpath(folder))
    seen = {str(parent) for parent in top.parents}  # a link upwards is a loop
    found: list[Path] = []
    ahead = [folder]
    while ahead:
        links: list[Path] = []
        for root, folders, names in os.walk(ahead.pop(0), onerror=_refuse):
            real = os.path.realpath(root)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if _counts(name))
            links += [Path(root, name) for name in folders if Path(root, name).is_symlink()]
            found += [Path(root, name) for name in names if _is_image(name)]
        ahead += links
    return _sorted(_picture(path, folder) for path in found)


def _matching(pattern: str) -> list[Picture]:
    """What a pattern matches, named from its first part that is no pattern."""
    parts = Path(pattern).parts
    plain = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:plain])
    try:
        matches = list(base.glob("/".join(parts[plain:])))
    except (ValueError, OSError) as error:
        raise ParityError(
            f"{pattern}: no pattern that can be used ({error})",
            hint="quote it for the shell: --images 'photos/**/*.jpg'",
        ) from error
    return _sorted(
        _picture(path, base)
        for path in dict.fromkeys(matches)
        if _is_image(path.name)
        and not path.is_dir()
        and all(_counts(part) for part in path.relative_to(base).parts[:-1])
    )


def _picture(path: Path, folder: Path) -> Picture:
    below = path.relative_to(folder)
    parts = (folder.absolute().name, *below.parts[:-1])
    label = next((part.lower() for part in reversed(parts) if part.lower() in LABELS), "")
    return Picture(path, below.as_posix(), label)


def _sorted(pictures: Iterator[Picture]) -> list[Picture]:
    return sorted(pictures, key=lambda picture: picture.name)


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _counts(folder: str) -> bool:
    return folder not in NOT_IMAGES and not folder.startswith(".")


def _refuse(error: OSError) -> NoReturn:
    raise ParityError(
        f"{error.filename}: cannot be listed ({error.strerror})",
        hint="check its permissions; a data set that is read in part proves less than it seems",
    ) from error
