"""Weights in a file beside the ONNX file, where protobuf's 2 GiB would not hold them.

``NAME.onnx`` keeps the graph and small tensors, ``NAME.onnx.data`` the rest: in the order of their
names, each from the start of a page, so that a runtime can map them and the bytes are the same on
every export. https://onnx.ai/onnx/repo-docs/ExternalData.html has the format.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from export.provenance import initializer_array

if TYPE_CHECKING:
    import onnx_ir as ir

MOST_INSIDE = 2_000_000_000  # bytes of weights; a message ends at 2**31 - 1, the graph included
ALIGNMENT = 4096  # a page
LEAST_OUTSIDE = 1024  # bytes; what is smaller stays in the graph, shapes above all
BLOCK = 1 << 24  # bytes that are written at a time


@dataclass(frozen=True)
class Outside:
    """The content of a ``.data`` file, not on disk yet.

    Attributes:
        name: the file's name.
        arrays: its tensors with the offset of each, in order.
        size: the file's size in bytes.
    """

    name: str
    arrays: tuple[tuple[int, npt.NDArray[Any]], ...]
    size: int

    def blocks(self) -> Iterator[memoryview]:
        """The file's bytes, tensors as ONNX stores them: little-endian, row by row."""
        position = 0
        for offset, array in self.arrays:
            yield memoryview(bytes(offset - position))
            little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
            content: memoryview = little.reshape(-1).view(np.uint8).data
            yield from (content[start : start + BLOCK] for start in range(0, len(content), BLOCK))
            position = offset + len(content)

    def write(self, stream: BinaryIO) -> None:
        """Write the file."""
        for block in self.blocks():
            stream.write(block)

    def entry(self) -> dict[str, Any]:
        """Name, size and digest, as a lock holds them."""
        digest = sha256()
        for block in self.blocks():
            digest.update(block)
        return {"name": self.name, "size_bytes": self.size, "sha256": digest.hexdigest()}


def move_out(model: ir.Model, name: str) -> Outside | None:
    """Let a graph with more weights than a file can hold refer to a file beside it.

    Args:
        model: the graph; its larger initializers lose their content.
        name: the name of the file that they will be in.

    Returns:
        That file, or None where all stays in the graph.
    """
    import onnx_ir as ir

    arrays = {key: initializer_array(value) for key, value in model.graph.initializers.items()}
    if sum(array.nbytes for array in arrays.values()) <= MOST_INSIDE:
        return None
    placed, end = [], 0
    for key in sorted(arrays):
        array, value = arrays[key], model.graph.initializers[key]
        if array.nbytes < LEAST_OUTSIDE or value.dtype is None:
            continue
        offset = -(-end // ALIGNMENT) * ALIGNMENT
        value.const_value = ir.ExternalTensor(
            name, offset, array.nbytes, value.dtype, shape=ir.Shape(array.shape), name=key
        )
        placed.append((offset, array))
        end = offset + array.nbytes
    return Outside(name, tuple(placed), end)
