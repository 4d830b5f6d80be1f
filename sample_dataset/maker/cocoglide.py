"""The 50-image CocoGlide subset, recreated from the real data set and proven by digests.

The images are not ours and are never committed; their names and SHA-256 are facts and are in
``cocoglide50.json``. The source may be the published zip or a folder; ``fake/`` and ``real/`` may
lie at any depth in it, but every file must have the listed digest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from sample_dataset.maker.manifest import DatasetError
from trufor_onnx.export.weights.archive import members, open_archive, read_member
from trufor_onnx.files import atomic_write, sha256_bytes, sha256_file

LISTING = Path(__file__).with_name("cocoglide50.json")
DEFAULT_OUT = Path("data/cocoglide50")
MAX_IMAGE_BYTES = 8 << 20
TERMS = (
    "CocoGlide is by GRIP-UNINA, for nonprofit, informational use only; its images are made from "
    "COCO 2017. See NOTICE. Do not commit them."
)

Candidates = dict[str, list[Callable[[], bytes]]]
"""By listed path: readers of the source's files that could be it."""


@dataclass(frozen=True)
class Recreated:
    """What was done."""

    out: Path
    written: int
    already_there: int


def load_listing(path: Path = LISTING) -> dict[str, str]:
    """SHA-256 by relative path.

    Raises:
        DatasetError: the list is unreadable, empty, or has a path that leaves the folder.
    """
    try:
        files = json.loads(path.read_bytes())["files"]
        listing = {str(file["path"]): str(file["sha256"]) for file in files}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: not a list of files ({error})", hint="restore it with git"
        ) from error
    parts = [PurePosixPath(name).parts for name in listing]
    if not listing or any(len(part) != 2 or ".." in part or part[0] == "/" for part in parts):
        hint = "restore it with git"
        raise DatasetError(f"{path}: empty, or paths are not FOLDER/NAME", hint=hint)
    return listing


def recreate(
    source: Path, out: Path = DEFAULT_OUT, listing: dict[str, str] | None = None
) -> Recreated:
    """Copy the listed images from the data set to ``out``; all of them or none.

    Args:
        source: the published zip, or a folder with its content.
        out: where ``fake/`` and ``real/`` are made.
        listing: SHA-256 by relative path; by default the 50 images.

    Raises:
        DatasetError: images are missing or wrong (all are listed), or ``out`` is not writable.
        trufor_onnx.export.weights.archive.ArchiveError: the zip is damaged or unsafe.
    """
    wanted = load_listing() if listing is None else listing
    with ExitStack() as stack:
        if source.is_dir():
            candidates = _in_folder(source, wanted)
        else:
            candidates = _in_zip(source, wanted, stack)
        images, problems = {}, []
        for name, sha256 in wanted.items():
            data = next(
                (data for data in _contents(candidates[name]) if sha256_bytes(data) == sha256), None
            )
            if data is not None:
                images[name] = data
            elif candidates[name]:
                problems.append(f"{name}: wrong content")
            else:
                problems.append(f"{name}: missing")
    if problems:
        raise DatasetError(
            f"{source}: {len(problems)} of {len(wanted)} images are missing or wrong, nothing was "
            "written:\n    " + "\n    ".join(problems),
            hint="give the CocoGlide zip as its authors publish it, or the folder unpacked from it",
        )
    return _write_all(images, wanted, out)


def _contents(readers: Iterable[Callable[[], bytes]]) -> Iterable[bytes]:
    return (read() for read in readers)


def _in_folder(source: Path, wanted: dict[str, str]) -> Candidates:
    found: Candidates = {name: [] for name in wanted}
    for path in sorted(source.rglob("*")):
        name = "/".join(path.parts[-2:])
        if name in found and path.is_file() and path.stat().st_size <= MAX_IMAGE_BYTES:
            found[name].append(path.read_bytes)
    return found


def _in_zip(source: Path, wanted: dict[str, str], stack: ExitStack) -> Candidates:
    found: Candidates = {name: [] for name in wanted}
    archive = stack.enter_context(open_archive(source))
    for member, info in sorted(members(archive).items()):
        name = "/".join(PurePosixPath(member).parts[-2:])
        if name in found and info.file_size <= MAX_IMAGE_BYTES:
            found[name].append(partial(read_member, archive, info, max_bytes=MAX_IMAGE_BYTES))
    return found


def _write_all(images: dict[str, bytes], wanted: dict[str, str], out: Path) -> Recreated:
    written = 0
    try:
        for name, data in images.items():
            path = out / name
            if path.is_file() and not path.is_symlink() and sha256_file(path) == wanted[name]:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, data)
            written += 1
        sums = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(wanted.items()))
        atomic_write(out / "SHA256SUMS", sums.encode())
    except OSError as error:
        raise DatasetError(
            f"{error.filename or out}: cannot be written: {error.strerror}",
            hint="choose another folder with --out, or free some space",
        ) from error
    return Recreated(out, written, len(images) - written)
