"""Named arrays in files that anybody may have made: ``.npz``, ``.npy``, ``.safetensors``."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trufor_onnx.errors import ParityError
from trufor_onnx.files import read_regular, sha256_bytes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NPZ, NPY, SAFETENSORS = ".npz", ".npy", ".safetensors"
ARRAYS = (NPZ, NPY, SAFETENSORS)
ONLY = ""  # the name of an array that has none
LARGEST = 1 << 30  # bytes of a file, packed or not
# What numpy's and zip's readers raise for damaged files.
_DAMAGED = (
    *(OSError, ValueError, LookupError, EOFError, SyntaxError, TypeError, RuntimeError),
    *(MemoryError, OverflowError, zipfile.BadZipFile, zlib.error, struct.error),
)
HINT = "arrays of numbers, as numpy.savez or safetensors.numpy.save_file write them"


def read_arrays(path: Path) -> tuple[dict[str, npt.NDArray[np.generic]], str]:
    """The arrays in a file by their names, and the file's digest. Never an object of Python's.

    Args:
        path: of one of `ARRAYS`; the one array of a ``.npy`` file is called ``""``.

    Raises:
        ParityError: it cannot be read, is larger than 1 GiB, or holds something else.
        PreprocessError: it is no regular file.
    """
    try:
        data = read_regular(path, LARGEST)
    except OSError as error:
        raise ParityError(f"{path}: cannot be read ({error.strerror})", hint=HINT) from error
    try:
        found = _unpacked(path, data)
    except _DAMAGED as error:
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise ParityError(f"{path}: no readable arrays ({why})", hint=HINT) from error
    if not found or any(array.dtype.kind not in "fiub" for array in found.values()):
        raise ParityError(f"{path}: it holds no arrays of numbers", hint=HINT)
    return found, sha256_bytes(data)


def _unpacked(path: Path, data: bytes) -> dict[str, Any]:
    import numpy as np

    if path.suffix == SAFETENSORS:
        try:
            from safetensors import SafetensorError
            from safetensors.numpy import load
        except ImportError as error:
            raise ParityError(
                f"{path}: reading it needs safetensors, which is not installed",
                hint="pip install safetensors",
            ) from error
        try:
            return dict(load(data))
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    if path.suffix == NPY:
        return {ONLY: np.load(io.BytesIO(data), allow_pickle=False)}
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        if sum(entry.file_size for entry in packed.infolist()) > LARGEST:
            raise ParityError(f"{path}: larger than {LARGEST >> 20} MiB unpacked", hint=HINT)
    with np.load(io.BytesIO(data), allow_pickle=False) as opened:
        return {name: opened[name] for name in opened.files}
