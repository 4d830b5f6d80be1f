"""The reference's values: in memory up to a limit, beyond it in a temporary folder."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
MOST_IN_MEMORY = 1 << 30  # bytes


class Store:
    """Arrays by number. A context manager: the temporary folder goes when it ends.

    Args:
        most: bytes that are kept in memory; what is put in later goes to disk.
    """

    def __init__(self, most: int = MOST_IN_MEMORY) -> None:
        self._most = most
        self._held = 0
        self._arrays: dict[int, Array] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def put(self, key: int, array: Array) -> None:
        """Keep an array."""
        if self._held + array.nbytes <= self._most:
            self._arrays[key] = array
            self._held += array.nbytes
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="parity-locate-")
        np.save(self._file(key), array)

    def get(self, key: int) -> Array:
        """The array that was kept under a number."""
        found = self._arrays.get(key)
        if found is None:
            found = np.load(self._file(key))
        return found

    @property
    def folder(self) -> Path | None:
        """The temporary folder, where one was needed."""
        return None if self._folder is None else Path(self._folder.name)

    def _file(self, key: int) -> Path:
        if self._folder is None:
            raise KeyError(key)
        return Path(self._folder.name, f"{key}.npy")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._arrays.clear()
        if self._folder is not None:
            self._folder.cleanup()
