"""The tensors of a TorchScript archive (``torch.jit.save``), none of whose code is run.

The archive is a zip file: ``data.pkl`` holds the module's attributes as a pickle, ``data/N`` the
bytes of storages. The pickle is read by an unpickler that knows tensors, dictionaries and empty
shells in place of the archive's classes, and nothing else.
"""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

OWN_CLASSES = "__torch__"  # the first name of classes that an archive defines itself
DEEPEST = 200  # modules within modules
# What torch's pickler of scripts names for lists of a type; each only wraps its argument.
LISTS = tuple(f"build_{kind}list" for kind in ("int", "double", "bool", "tensor"))


DTYPES = {  # of torch's storages, without the "Storage" of their names
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
}


class _Shell:
    """Stands for an object of a class that the archive defines: its attributes alone."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.attributes = {str(name): value for name, value in state.items()}


class _Tensors(pickle.Unpickler):
    """Reads ``data.pkl`` of an open archive."""

    def __init__(self, records: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(records.read(f"{root}data.pkl")))
        self._records, self._root = records, root

    def find_class(self, module: str, name: str) -> Any:
        """Tensors, dictionaries, and shells in place of the archive's own classes.

        Raises:
            pickle.UnpicklingError: for everything else.
        """
        if module.partition(".")[0] == OWN_CLASSES:
            return type(name, (_Shell,), {})
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name.endswith("Storage"):
            return name  # only told to `persistent_load`
        if module == "torch.jit._pickle" and (name in LISTS or name == "restore_type_tag"):
            return lambda value, *_: value
        raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {module}.{name}")

    def persistent_load(self, pid: Any) -> torch.Tensor:
        """A storage as a tensor: ``("storage", "FloatStorage", key, device, elements)``."""
        import torch

        kind, key = str(pid[1]).removesuffix("Storage"), str(pid[2])
        if kind not in DTYPES:
            raise pickle.UnpicklingError(f"Unsupported global: GLOBAL torch.{kind}Storage")
        dtype = getattr(torch, DTYPES[kind])
        data = bytearray(self._records.read(f"{self._root}data/{key}"))
        return torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)


def tensors(data: bytes) -> dict[str, torch.Tensor]:
    """Parameters and buffers by their names in the module.

    Args:
        data: the archive, whose checksums were looked at.

    Raises:
        pickle.UnpicklingError: it needs more than tensors.
        ValueError: it is none, or of a machine of another byte order.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as records:
        root = next(n for n in records.namelist() if n.endswith("/data.pkl"))[: -len("data.pkl")]
        order = f"{root}byteorder"
        if order in records.namelist() and records.read(order).decode() != sys.byteorder:
            raise ValueError("it was written on a machine of another byte order")
        whole = _Tensors(records, root).load()
    found: dict[str, torch.Tensor] = {}
    _collect(whole, "", found, 0)
    return found


def _tensor(storage: torch.Tensor, offset: int, size: Any, stride: Any, *_: Any) -> torch.Tensor:
    """What `torch._utils._rebuild_tensor_v2` gives, held to the bounds of the storage."""
    size, stride = tuple(map(int, size)), tuple(map(int, stride))
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and not (0 <= offset <= last < storage.numel() and min((0, *stride)) >= 0):
        raise ValueError("a tensor reaches beyond its storage")
    return storage.as_strided(size, stride, offset).contiguous()


def _collect(value: object, name: str, found: dict[str, torch.Tensor], depth: int) -> None:
    import torch

    if depth > DEEPEST:
        raise ValueError(f"modules more than {DEEPEST} deep")
    if isinstance(value, torch.Tensor):
        found[name] = value
    elif isinstance(value, _Shell):
        for key, inner in value.attributes.items():
            _collect(inner, f"{name}.{key}" if name else key, found, depth + 1)
