"""Where image files lie: below folders, and under patterns. Who looks for them asks here."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from pathlib import Path

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")
HEIC_SUFFIXES = (".heic", ".heif")


def is_image_name(name: str, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Whether a file's name is that of a picture that may be read; hidden ones are not."""
    return name.lower().endswith(suffixes) and not name.startswith(".")


def images_below(
    folder: Path,
    *,
    refuse: Callable[[OSError], None],
    suffixes: tuple[str, ...] = SUFFIXES,
    left_out: Callable[[Path], bool] = lambda folder: False,  # noqa: ARG005 - nothing is
) -> list[Path]:
    """All image files below a folder, in order of their names below it.

    Links to folders are followed, each real folder once: a link upwards is a loop, and a folder
    that is there itself is not found by a link.

    Args:
        folder: where to look.
        refuse: raises the caller's error for a folder that cannot be listed.
        suffixes: of the names that count, in small letters.
        left_out: whether a folder is not searched; hidden ones never are.
    """
    top = Path(os.path.realpath(folder))
    seen = {str(parent) for parent in top.parents}
    found: list[Path] = []
    ahead = [folder]
    while ahead:
        links: list[Path] = []
        for root, folders, names in os.walk(ahead.pop(0), onerror=refuse):
            real = os.path.realpath(root)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(
                name for name in folders if name[0] != "." and not left_out(Path(root, name))
            )
            links += [Path(root, name) for name in folders if Path(root, name).is_symlink()]
            found += [Path(root, name) for name in names if is_image_name(name, suffixes)]
        ahead += links
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def is_pattern(place: str | Path) -> bool:
    """Whether a path is one with ``*``, ``?`` or ``[``."""
    return glob.has_magic(str(place))


def matching(pattern: str | Path) -> tuple[Path, list[Path]]:
    """The part of a path before its first pattern, and what matches, in order of the names below.

    Raises:
        ValueError, OSError: it is no pattern that can be used.
    """
    parts = Path(pattern).parts
    plain = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:plain])
    try:
        found = dict.fromkeys(base.glob("/".join(parts[plain:])))
    except NotImplementedError as error:
        raise ValueError(str(error)) from error
    return base, sorted(found, key=lambda path: path.relative_to(base).as_posix())
