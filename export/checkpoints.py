"""Reading checkpoint files: safely, whatever container the tensors are in."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunking.hashing import sha256_file
from export.errors import ExportError

if TYPE_CHECKING:
    import torch

CONTAINERS = ("network", "state_dict", "model")
PARALLEL_PREFIX = "module."  # what DataParallel puts before every name


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

    The tensors may be at the top or under ``network``, ``state_dict`` or ``model``, with or
    without ``module.`` before each name; ``.safetensors`` files are read too.

    Raises:
        ExportError: the file is missing, damaged, unsafe, or holds no tensors.
    """
    if not path.is_file():
        raise ExportError(
            f"no checkpoint at {path}",
            hint="name a file with --weights, download with `make weights`, "
            "or choose stand-in weights by name with --stand-in golden",
        )
    if path.suffix == ".safetensors":
        content: object = _read_safetensors(path)
    else:
        content = _read_torch(path)
    container, tensors = _find_tensors(path, content)
    return Checkpoint(path, sha256_file(path), container, _strip_parallel(path, tensors))


def _read_torch(path: Path) -> object:
    import torch

    # What torch.load raises for a file that is no checkpoint depends on where it is damaged.
    damaged = (RuntimeError, EOFError, ValueError, KeyError, OSError, zipfile.BadZipFile)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        first_line = str(error).strip().splitlines()[0]
        raise ExportError(
            f"{path}: refused, it is damaged or holds more than tensors ({first_line})",
            hint="only checkpoints that load with torch.load(weights_only=True) are read; save "
            "the state dict alone: torch.save(model.state_dict(), FILE)",
        ) from error
    except damaged as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ExportError(
            f"{path}: not a readable checkpoint ({reason})",
            hint="it may be truncated: compare its size and digest with the source, "
            "or download it again with `make weights`",
        ) from error


def _read_safetensors(path: Path) -> object:
    try:
        import safetensors
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise ExportError(
            f"{path}: reading it needs safetensors, which is not installed",
            hint="pip install safetensors",
        ) from error
    try:
        return load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ExportError(
            f"{path}: not a readable safetensors file ({error})",
            hint="it may be truncated: compare its size and digest with the source",
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
