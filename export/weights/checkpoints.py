"""Reading checkpoint files: safely, whatever container the tensors are in."""

from __future__ import annotations

import io
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trufor_onnx.errors import ExportError
from trufor_onnx.export.foreign import reason_of
from trufor_onnx.files import sha256_bytes

if TYPE_CHECKING:
    import torch

CONTAINERS = ("network", "state_dict", "model")
PARALLEL_PREFIX = "module."  # what DataParallel puts before every name
GIT_LFS_START = b"version https://git-lfs"
# What torch.load raises for a damaged file depends on where it is damaged; found by cutting
# checkpoints at every place and by changing bytes in them (their tests do).
_DAMAGED = (
    *(RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError),
    *(ImportError, ArithmeticError, MemoryError, OSError, struct.error, zipfile.BadZipFile),
)
_TORCHSCRIPT = {"constants.pkl", "data.pkl"}
_EXPORTED = {"serialized_exported_program.json", "models/model.json"}
_HINT = "it may be truncated: compare its size and digest with the source, or fetch it again"


@dataclass(frozen=True)
class Checkpoint:
    """A file of named tensors.

    Attributes:
        path: where it was read.
        sha256: the digest of the file.
        container: the key under which the tensors were ("" where they are at the top).
        tensors: the tensors by name, without ``module.``; on the CPU.
    """

    path: Path
    sha256: str
    container: str
    tensors: Mapping[str, torch.Tensor]


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint without running any code in it (``weights_only=True``).

    The tensors may be at the top or under ``network``, ``state_dict`` or ``model`` (looked at in
    this order), with or without ``module.`` before each name; ``.safetensors`` files are read
    too. The file is read once: what is digested is what is loaded.

    Raises:
        ExportError: the file is missing, damaged, unsafe, or holds no tensors.
    """
    if not path.is_file():
        raise ExportError(
            f"no checkpoint at {path}",
            hint="name a file with --weights, download with `make weights`, "
            "or choose stand-in weights by name with --stand-in golden",
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ExportError(
            f"{path}: cannot be read ({error.strerror})", hint="check its permissions"
        ) from error
    if data.startswith(GIT_LFS_START):
        raise ExportError(f"{path}: a git-lfs pointer, not the file itself", hint="git lfs pull")
    read = _from_safetensors if path.suffix == ".safetensors" else _from_torch
    container, tensors = _find_tensors(path, read(path, data))
    return Checkpoint(path, sha256_bytes(data), container, _strip_parallel(path, tensors))


def _from_torch(path: Path, data: bytes) -> object:
    import torch

    try:
        _require_whole_records(path, data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols and old storages, no fault here
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ExportError(
            f"{path}: refused, it is damaged or holds more than tensors ({_refused(error)})",
            hint="only checkpoints that load without running code are read; where you trust its "
            "source, save the state dict alone: torch.save(model.state_dict(), FILE)",
        ) from error
    except _DAMAGED as error:
        reason = reason_of(error)
        raise ExportError(f"{path}: not a readable checkpoint ({reason})", hint=_HINT) from error


def _require_whole_records(path: Path, data: bytes) -> None:
    """torch reads the records of its zip files without looking at their checksums."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return  # the format before zip files, which has no checksums
    with zipfile.ZipFile(io.BytesIO(data)) as records:
        # torch.jit.save and torch.export.save write code beside the tensors.
        names = {name.partition("/")[2] for name in records.namelist()}
        if names >= _TORCHSCRIPT or any(name.startswith("code/") for name in names):
            raise ExportError(
                f"{path}: a TorchScript archive (code and weights), not a checkpoint",
                hint="save its state dict alone, where you trust it: "
                'torch.save(torch.jit.load("FILE").state_dict(), "weights.pth")',
            )
        if _EXPORTED & {*names, *records.namelist()}:
            raise ExportError(
                f"{path}: a network that torch.export.save wrote, not a checkpoint",
                hint="save its state dict alone, where you trust it: "
                'torch.save(torch.export.load("FILE").state_dict, "weights.pth")',
            )
        damaged = records.testzip()
    if damaged is not None:
        raise ExportError(f"{path}: damaged, the checksum of {damaged} is wrong", hint=_HINT)


def _refused(error: pickle.UnpicklingError) -> str:
    """What was refused, without torch's advice to load the file unsafely."""
    found = re.search(r"unsupported (?:global: )?((?:global|operand) [\w.]*\w)", str(error), re.I)
    return f"it needs {found.group(1)}" if found else "its pickle cannot be followed"


def _from_safetensors(path: Path, data: bytes) -> object:
    try:
        import safetensors
        from safetensors.torch import load
    except ModuleNotFoundError as error:
        raise ExportError(
            f"{path}: reading it needs safetensors, which is not installed",
            hint="pip install safetensors",
        ) from error
    try:
        return load(data)
    except (safetensors.SafetensorError, *_DAMAGED) as error:
        raise ExportError(
            f"{path}: not a readable safetensors file ({reason_of(error)})", hint=_HINT
        ) from error


def _find_tensors(path: Path, content: object) -> tuple[str, dict[str, torch.Tensor]]:
    """The tensors and the container they were in; the top is looked at first."""
    import torch

    if isinstance(content, Mapping):
        for container in ("", *CONTAINERS):
            candidate: Any = content if container == "" else content.get(container)
            if not isinstance(candidate, Mapping) or not candidate:
                continue
            if all(isinstance(value, torch.Tensor) for value in candidate.values()):
                return container, {str(name): value for name, value in candidate.items()}
    held = f"keys {', '.join(map(str, list(content)[:8]))}" if isinstance(content, Mapping) else ""
    raise ExportError(
        f"{path}: no state dict in it ({held or type(content).__name__})",
        hint=f"tensors are looked for at the top and under {', '.join(CONTAINERS)}",
    )


def _strip_parallel(path: Path, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names without ``module.``; a name that then stands twice is an error."""
    stripped: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        bare = name.removeprefix(PARALLEL_PREFIX)
        if bare in stripped:
            raise ExportError(
                f"{path}: the tensor {bare!r} stands in it twice, with and without "
                f"{PARALLEL_PREFIX!r}",
                hint="save the checkpoint anew from one model",
            )
        stripped[bare] = tensor
    return stripped
