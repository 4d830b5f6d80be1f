"""Files that keep tensors in a second file beside them, as torch's exporter writes by default.

What a tensor says of its place is not trusted: the file is one of the same folder, named plainly,
and the bytes lie inside of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trufor_onnx.chunking.folders import opened
from trufor_onnx.chunking.framing import (
    BYTES,
    TENSOR_EXTERNAL_DATA,
    Field,
    RandomAccess,
    Walker,
    external_tensors,
)
from trufor_onnx.errors import ChunkingError, ExportError, FramingError
from trufor_onnx.files import sha256_bytes, sha256_file

KEY, VALUE = 1, 2  # of an entry of a tensor's ``external_data``
LOCATION, OFFSET, LENGTH = "location", "offset", "length"
LONGEST = 4096  # bytes of a key or a value
HINT = "put it back beside the file, or save both as one: onnx.save(onnx.load(FILE), FILE)"


class ExternalFileError(ExportError):
    """A file that holds a model's tensors is missing, or is not where it may be."""


@dataclass(frozen=True)
class Place:
    """Where a tensor's bytes are said to be.

    Attributes:
        location: the name of the file.
        offset: of the first byte.
        length: in bytes; None: to the end of the file.
    """

    location: str
    offset: int
    length: int | None


def place_of(walker: Walker, tensor: Field) -> Place:
    """What a tensor with external data says.

    Raises:
        FramingError: it says nothing that could be followed.
    """
    said: dict[str, str] = {}
    for entry in walker.fields(tensor.body, tensor.end):
        if entry.number != TENSOR_EXTERNAL_DATA or entry.wire != BYTES:
            continue
        pair = {
            field.number: walker.content(field, LONGEST).decode("utf-8", "backslashreplace")
            for field in walker.fields(entry.body, entry.end)
            if field.wire == BYTES
        }
        key = pair.get(KEY, "")
        if key in said:
            raise FramingError(f"a tensor with external data says its {key} twice")
        said[key] = pair.get(VALUE, "")
    location = said.get(LOCATION, "")
    if not is_plain(location):
        raise FramingError(f"a tensor is kept in {location!a}, which is no file of the same folder")
    numbers = [said.get(key, "") for key in (OFFSET, LENGTH)]
    if not all(text == "" or (text.isascii() and text.isdigit()) for text in numbers):
        raise FramingError(f"a tensor in {location} begins at {numbers[0]!a}")
    offset, length = numbers
    return Place(location, int(offset or 0), int(length) if length else None)


def is_plain(location: str) -> bool:
    """Whether it is a file's name and nothing more: no folder, no way out of one."""
    return location not in ("", ".", "..") and not {"/", "\\", "\0", ":"} & set(location)


def _beside_path(path: Path, location: str) -> Path:
    """The file of a location, which must really lie in the ONNX file's own folder.

    Raises:
        ExternalFileError: it is missing, no regular file, or a link to elsewhere.
    """
    data = path.with_name(location)
    if not data.is_file():
        raise ExternalFileError(
            f"{path}: keeps tensors in {location}, which is not there", hint=HINT
        )
    if data.resolve().parent != path.parent.resolve():
        raise ExternalFileError(
            f"{path}: keeps tensors in {location}, a link to another folder",
            hint=f"copy the file itself to {data}",
        )
    return data


def places(path: Path, source: RandomAccess) -> dict[str, Path]:
    """The other files that an ONNX file keeps tensors in, by name; every tensor lies inside them.

    Args:
        path: the ONNX file.
        source: its bytes.

    Raises:
        FramingError: a place that cannot be, or no ONNX file.
        ExternalFileError: a file is missing, or not in the folder.
    """
    walker = Walker(source)
    found: dict[str, Path] = {}
    for tensor in external_tensors(source):
        place = place_of(walker, tensor)
        if place.location not in found:
            found[place.location] = _beside_path(path, place.location)
        size = found[place.location].stat().st_size
        if place.offset + (place.length or 0) > size:
            raise FramingError(f"a tensor lies beyond the end of {place.location}")
    return found


def external_files(path: Path) -> dict[str, Path]:
    """`places` of a file by its path; {} where all weights are inside.

    Raises:
        ExternalFileError: a file beside it is missing or not safe.
        ExportError: it is no readable ONNX file.
    """
    with readable(path), opened(path, follow_link=True) as file:
        return places(path, file)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Say of what cannot be read as an ONNX file inside the block that it is none.

    Raises:
        ExportError: with the reason.
    """
    try:
        yield
    except (ChunkingError, OSError, ValueError) as error:
        reason = error.problem if isinstance(error, ChunkingError) else error
        raise ExportError(
            f"{path}: not a readable ONNX file ({reason})",
            hint="it may be truncated, or something else; export again",
        ) from error


def external_if_onnx(path: Path) -> dict[str, Path]:
    """`external_files`; {} of what is no readable ONNX file, which others have to say.

    Raises:
        ExternalFileError: a file beside it is missing or not safe.
    """
    try:
        return external_files(path)
    except ExternalFileError:
        raise
    except ExportError:
        return {}


def file_document(path: Path, external: dict[str, Path]) -> dict[str, Any]:
    """Name, size and digest of an ONNX file, and of the files beside it that hold its tensors."""
    document: dict[str, Any] = _entry(path)
    if external:
        document["external"] = [_entry(external[name]) for name in sorted(external)]
    return document


def same_files(ours: dict[str, Any], theirs: object) -> bool:
    """Whether two such documents are of the same bytes, those beside the ONNX file included."""
    same = isinstance(theirs, dict) and ours["sha256"] == theirs.get("sha256")
    return same and beside(ours) == beside(theirs)


def beside(document: object) -> dict[str, str]:
    """SHA-256 of the files beside an ONNX file, by name, as its document has them."""
    listed = document.get("external") if isinstance(document, Mapping) else None
    return {
        str(entry.get("name")): str(entry.get("sha256"))
        for entry in (listed if isinstance(listed, list) else ())
        if isinstance(entry, Mapping)
    }


def whole_digest(document: object) -> str:
    """One SHA-256 for an ONNX file and the files beside it; the file's own where it is alone."""
    own = str(document.get("sha256")) if isinstance(document, Mapping) else ""
    others = beside(document)
    if not others:
        return own
    lines = [f"{others[name]} {name}" for name in sorted(others)]
    return sha256_bytes("\n".join([own, *lines]).encode())


def _entry(path: Path) -> dict[str, Any]:
    return {"name": path.name, "size_bytes": path.stat().st_size, "sha256": sha256_file(path)}
