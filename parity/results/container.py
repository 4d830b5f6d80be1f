"""The file format of stored references: arrays as raw bytes, then an index that describes them.

::

    "TRFREF01" | bytes of all arrays, one after the other | index (JSON) |
    length of the index (8 bytes, little-endian) | SHA-256 of the index | "TRFREFND"

The index lists the entries in order; an entry has a key, a document, and arrays with name, dtype,
shape and SHA-256. Arrays follow each other without holes, so offsets are not written and every
byte of the file is covered by a digest. Nothing in it is code, and nothing is unpickled.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from trufor_onnx.chunking.folders import OpenFile
from trufor_onnx.documents import canonical, parse_json
from trufor_onnx.errors import ChunkingError, ParityError
from trufor_onnx.files import open_regular

START, END = b"TRFREF01", b"TRFREFND"
TAIL_BYTES = 8 + 32 + len(END)
VERSION = 1
FLOAT64, TORCH32 = "float64", "torch32"  # whose outputs an entry holds
LARGEST_INDEX = 64 << 20  # bytes
MOST_AXES = 8
DTYPES: dict[str, np.dtype[Any]] = {
    **{name: np.dtype(name).newbyteorder("<") for name in ("float16", "float32", "float64")},
    **{f"int{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    "bool": np.dtype(np.bool_),
}

Array = npt.NDArray[Any]


class ContainerError(ParityError):
    """A file of references is damaged, cut off, or none."""


class NoContainerError(ContainerError):
    """There is no file at this path (any more)."""


@dataclass(frozen=True)
class StoredEntry:
    """What is stored under one key: a JSON document, named arrays, or both."""

    key: Mapping[str, Any]
    document: Mapping[str, Any]
    arrays: Mapping[str, Array]


@dataclass(frozen=True)
class Stored:
    """An array in a file: where it lies and what it must be."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str
    offset: int

    @property
    def size(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


@dataclass(frozen=True)
class Item:
    """An entry of a file whose arrays are still on disk."""

    key: Mapping[str, Any]
    document: Mapping[str, Any]
    stored: tuple[Stored, ...]


def write_container(stream: BinaryIO, entries: Iterable[StoredEntry]) -> str:
    """Write entries in their order. Returns the digest of the index, which covers everything."""
    stream.write(START)
    listed = []
    for entry in entries:
        arrays = []
        for name, array in entry.arrays.items():
            if str(array.dtype) not in DTYPES:
                raise ContainerError(
                    f"the output {name} holds {array.dtype}, which is not compared",
                    hint=f"the network must return one of {', '.join(DTYPES)}",
                )
            raw = np.ascontiguousarray(array, DTYPES[str(array.dtype)])
            content = raw.reshape(-1).view(np.uint8).data if raw.size else b""
            stream.write(content)
            arrays.append(
                {
                    "name": name,
                    "dtype": str(array.dtype),
                    "shape": list(array.shape),
                    "sha256": sha256(content).hexdigest(),
                }
            )
        listed.append({"key": entry.key, "document": entry.document, "arrays": arrays})
    index = canonical({"version": VERSION, "entries": listed}).encode()
    digest = sha256(index)
    stream.write(index + len(index).to_bytes(8, "little") + digest.digest() + END)
    return digest.hexdigest()


class Container:
    """An open file of references. Its index is checked; arrays are checked when they are read.

    Args:
        path: the file.

    Raises:
        NoContainerError: there is no file.
        ContainerError: it is another kind of file, cut off, or its index is not what was written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            descriptor = open_regular(path, follow_link=True)
        except (OSError, ChunkingError) as error:
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            kind = NoContainerError if missing else ContainerError
            raise self._fault(f"cannot be read ({error})", kind) from error
        self._file = OpenFile(path, descriptor, os.fstat(descriptor).st_size)
        try:
            self.sha256, self.items = self._read_index()
        except BaseException:
            self.close()
            raise

    def read(self, item: Item) -> dict[str, Array]:
        """An entry's arrays, each held to its digest.

        Raises:
            ContainerError: an array's bytes are not those that were written.
        """
        return {stored.name: self._array(stored) for stored in item.stored}

    def close(self) -> None:
        """Close the file."""
        os.close(self._file.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _array(self, stored: Stored) -> Array:
        array: Array = np.empty(stored.shape, DTYPES[stored.dtype])
        raw = array.reshape(-1).view(np.uint8).data if array.size else memoryview(bytearray())
        done = 0
        while done < len(raw):  # one call reads 2 GiB at most
            count = self._file.read_into(raw[done:], stored.offset + done)
            if not count:
                raise self._fault("shorter than when it was opened")
            done += count
        if sha256(raw).hexdigest() != stored.sha256:
            raise self._fault(f"the bytes of {stored.name} are not those that were written")
        if array.dtype == np.bool_ and (array.view(np.uint8) > 1).any():
            raise self._fault(f"{stored.name} holds what is neither true nor false")
        return array

    def _read_index(self) -> tuple[str, list[Item]]:
        size = self._file.size
        tail = self._file.read_at(max(size - TAIL_BYTES, 0), TAIL_BYTES)
        length = int.from_bytes(tail[:8], "little")
        start = size - TAIL_BYTES - length
        whole = tail.endswith(END) and self._file.read_at(0, len(START)) == START
        if not whole or len(tail) != TAIL_BYTES or length > LARGEST_INDEX or start < len(START):
            raise self._fault("not a file of references, or cut off")
        index = self._file.read_at(start, length)
        digest = sha256(index)
        if digest.digest() != tail[8:40]:
            raise self._fault("its index is damaged")
        try:
            document = parse_json(index)
            if document["version"] != VERSION:
                raise self._fault(f"version {document['version']}, this tool reads {VERSION}")
            items, offset = [], len(START)
            for entry in document["entries"]:
                item, offset = _item(entry, offset)
                items.append(item)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._fault(f"its index is no index ({type(error).__name__})") from error
        if offset != start:
            raise self._fault("its arrays have other sizes than its index says")
        return digest.hexdigest(), items

    def _fault(self, problem: str, kind: type[ContainerError] = ContainerError) -> ContainerError:
        return kind(
            f"{self.path}: {problem}", hint="make it anew: `python -m parity reference --out FILE`"
        )


def _item(entry: dict[str, Any], offset: int) -> tuple[Item, int]:
    """An entry of the index, its arrays from ``offset`` on, and where they end.

    Raises:
        ValueError: it is none.
    """
    stored = []
    for given in entry["arrays"]:
        shape = given["shape"]
        axes_fit = isinstance(shape, list) and len(shape) <= MOST_AXES
        if not axes_fit or not all(type(axis) is int and axis >= 0 for axis in shape):
            raise ValueError("a shape that is none")
        if given["dtype"] not in DTYPES or not isinstance(given["name"], str):
            raise ValueError("an array of another kind")
        array = Stored(given["name"], given["dtype"], tuple(shape), given["sha256"], offset)
        stored.append(array)
        offset += array.size
    if not isinstance(entry["key"], dict) or not isinstance(entry["document"], dict):
        raise ValueError("an entry without key or document")
    if len({array.name for array in stored}) != len(stored):
        raise ValueError("a name that stands twice")
    return Item(entry["key"], entry["document"], tuple(stored)), offset
