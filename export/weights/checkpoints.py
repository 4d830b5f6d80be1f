"""Reading checkpoint files: safely, whatever container the tensors are in.

A file may hold several sets of tensors, such as a state dict and its moving average (EMA). Which
one is meant is said after a colon: ``weights.pth:state_dict_ema``. Large ones may be cut into
shards with an index (``model.safetensors.index.json``), which stands for all of them.
"""

from __future__ import annotations

import io
import logging
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trufor_onnx.documents import canonical, json_of, read_bytes
from trufor_onnx.errors import ExportError
from trufor_onnx.export.foreign import reason_of
from trufor_onnx.export.weights import torchscript
from trufor_onnx.files import sha256_bytes, sha256_file

if TYPE_CHECKING:
    import torch

CONTAINERS = ("network", "state_dict", "model")  # looked at first, in this order
AVERAGE = "ema"  # in the name of a set that is a moving average of the training's weights
PARALLEL_PREFIX = "module."  # what DataParallel puts before every name
# What torch.compile, FSDP and activation checkpointing put into names, anywhere.
WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
INDEX_SUFFIX = ".index.json"  # of a checkpoint in shards
INDEX, LARGEST_INDEX = "list of shards", 64 << 20  # bytes
INDEX_HINT = "fetch the index and its shards again"
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

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointPlace:
    """Where weights are: a file, and which of the sets of tensors in it.

    Attributes:
        path: the file; of a checkpoint in shards its index.
        inside: the key in it, or "" for the one that is found.
    """

    path: Path
    inside: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.inside}" if self.inside else str(self.path)

    @property
    def sha256(self) -> str:
        """The digest of the file; of shards, one over the digests of all and of their index.

        Raises:
            ExportError: one of them cannot be read.
        """
        if self.path.name.endswith(INDEX_SUFFIX):
            index = _read_index(self.path)
            shards = sorted(set(_weight_map(self.path, index).values()))
            digests = {name: _digest_of(self.path.with_name(name)) for name in shards}
            return _whole_digest({self.path.name: sha256_bytes(index), **digests})
        return _digest_of(self.path)


@dataclass(frozen=True)
class Checkpoint:
    """A file of named tensors.

    Attributes:
        path: where it was read.
        sha256: the digest of the file.
        container: the key under which the tensors were ("" where they are at the top).
        tensors: by name, without ``module.`` and the names of wrappers; on the CPU.
    """

    path: Path
    sha256: str
    container: str
    tensors: Mapping[str, torch.Tensor]


def load_checkpoint(path: Path, inside: str = "") -> Checkpoint:
    """Read a checkpoint without running any code in it (``weights_only=True``).

    The tensors may be at the top or under any key; ``network``, ``state_dict`` and ``model`` are
    looked at first, in this order, and where there is only one set it is taken. ``module.`` before
    each name and the names of wrappers (``_orig_mod.``) are left out. ``.safetensors`` files,
    shards with an index and the tensors of TorchScript archives are read too. Each file is read
    once: what is digested is what is loaded.

    Args:
        path: the file, or the index of shards.
        inside: the key of the set that is wanted; "" for the one that is found.

    Raises:
        ExportError: the file is missing, damaged, unsafe, or holds no such tensors.
    """
    if not path.is_file():
        raise ExportError(
            f"no checkpoint at {path}",
            hint="name a file with --weights, download with `make weights`, "
            "or choose stand-in weights by name with --stand-in golden",
        )
    sharded = path.name.endswith(INDEX_SUFFIX)
    content, sha256 = _from_shards(path) if sharded else _from_file(path)
    container, tensors = _find_tensors(path, content, inside)
    return Checkpoint(path, sha256, container, _strip_parallel(path, tensors))


def _read_index(path: Path) -> bytes:
    return read_bytes(path, what=INDEX, largest=LARGEST_INDEX, hint=INDEX_HINT)


def _weight_map(path: Path, data: bytes) -> dict[str, str]:
    """Which shard holds a tensor, by the tensor's name.

    Raises:
        ExportError: the index names no shards, or a file elsewhere.
        ParityError: it is no JSON.
    """
    index = json_of(data, path, INDEX, INDEX_HINT)
    names = index.get("weight_map") if isinstance(index, Mapping) else None
    if not isinstance(names, dict) or not names:
        raise ExportError(f"{path}: no index of shards, it has no weight_map", hint=INDEX_HINT)
    for name in names.values():
        if not isinstance(name, str) or Path(name).name != name or name in ("", "..", path.name):
            raise ExportError(f"{path}: names a shard {name!r}, no file beside it", hint=INDEX_HINT)
    return names


def _from_shards(path: Path) -> tuple[object, str]:
    """All tensors of all shards, and the digest of all files."""
    index = _read_index(path)
    wanted, tensors = _weight_map(path, index), dict[str, Any]()
    digests = {path.name: sha256_bytes(index)}
    for shard in map(path.with_name, sorted(set(wanted.values()))):
        if not shard.is_file():
            raise ExportError(f"{path}: its shard {shard.name} is missing", hint="fetch it too")
        content, digests[shard.name] = _from_file(shard)
        _, found = _find_tensors(shard, content)
        named = {name for name, file in wanted.items() if file == shard.name}
        if named != found.keys():
            odd = sorted(named ^ found.keys())[0]
            raise ExportError(
                f"{shard}: does not hold the tensors that {path.name} says, such as {odd}",
                hint="shards of two checkpoints were mixed; fetch all of one again",
            )
        tensors |= found
    return tensors, _whole_digest(digests)


def _whole_digest(digests: Mapping[str, str]) -> str:
    """One digest over those of an index and its shards, by their names."""
    return sha256_bytes(canonical(dict(sorted(digests.items()))).encode())


def _digest_of(path: Path) -> str:
    with _readable(path):
        return sha256_file(path)


def _read(path: Path) -> bytes:
    with _readable(path):
        return path.read_bytes()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What the system refuses inside the block becomes an error of ours."""
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"{path}: cannot be read ({error.strerror})", hint="check its permissions"
        ) from error


def _from_file(path: Path) -> tuple[object, str]:
    """What one file holds, and its digest."""
    data = _read(path)
    if data.startswith(GIT_LFS_START):
        raise ExportError(f"{path}: a git-lfs pointer, not the file itself", hint="git lfs pull")
    read = _from_safetensors if path.suffix == ".safetensors" else _from_torch
    return read(path, data), sha256_bytes(data)


def _from_torch(path: Path, data: bytes) -> object:
    import torch

    try:
        if _is_torchscript(path, data):
            return torchscript.tensors(data)
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


def _is_torchscript(path: Path, data: bytes) -> bool:
    """Look into a zip file: torch reads its records without looking at their checksums."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return False  # the format before zip files, which has no checksums
    with zipfile.ZipFile(io.BytesIO(data)) as records:
        names = {name.partition("/")[2] for name in records.namelist()}
        if _EXPORTED & {*names, *records.namelist()}:
            raise ExportError(
                f"{path}: a network that torch.export.save wrote, not a checkpoint",
                hint="save its state dict alone, where you trust it: "
                'torch.save(torch.export.load("FILE").state_dict, "weights.pth")',
            )
        damaged = records.testzip()
    if damaged is not None:
        raise ExportError(f"{path}: damaged, the checksum of {damaged} is wrong", hint=_HINT)
    # torch.jit.save writes code beside the tensors.
    return names >= _TORCHSCRIPT or any(name.startswith("code/") for name in names)


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


def _find_tensors(
    path: Path, content: object, inside: str = ""
) -> tuple[str, dict[str, torch.Tensor]]:
    """The tensors and the key that they were under; the top is looked at first."""
    found = _sets(content)
    averages = [key for key in found if AVERAGE in key.lower()]
    if inside:
        if inside not in found:
            there = ", ".join(key or "(the top)" for key in found) or "none"
            raise ExportError(
                f"{path}: no tensors under {inside!r}", hint=f"sets of tensors in it: {there}"
            )
        return inside, found[inside]
    plain = [key for key in found if key not in averages]
    usual = [key for key in ("", *CONTAINERS) if key in plain]
    first = usual[:1] or plain or averages
    if not first:
        raise ExportError(
            f"{path}: no state dict in it ({_held(content)})",
            hint=f"tensors are looked for at the top and under {', '.join(CONTAINERS)}",
        )
    if len(first) > 1:
        raise ExportError(
            f"{path}: several sets of tensors ({', '.join(found)})",
            hint=f"say which: --weights {path}:KEY",
        )
    (chosen,) = first
    others = [key for key in averages if key != chosen]
    if others:
        logger.warning(
            "%s also holds a moving average of the weights: take it with --weights %s:%s",
            *(path, path, others[0]),
        )
    return chosen, found[chosen]


def _sets(content: object) -> dict[str, dict[str, torch.Tensor]]:
    """Every mapping of tensors alone, at the top ("") or one key below."""
    import torch

    found = {}
    for key, value in {"": content, **(content if isinstance(content, Mapping) else {})}.items():
        if not isinstance(value, Mapping) or not value:
            continue
        if all(isinstance(tensor, torch.Tensor) for tensor in value.values()):
            found[str(key)] = {str(name): tensor for name, tensor in value.items()}
    return found


def _held(content: object) -> str:
    if isinstance(content, Mapping):
        return f"keys {', '.join(map(str, list(content)[:8]))}"
    return type(content).__name__


def _strip_parallel(path: Path, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names without ``module.`` and what wraps; a name that then stands twice is an error."""
    stripped: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        bare = name.removeprefix(PARALLEL_PREFIX)
        for wrapper in WRAPPERS:
            bare = re.sub(rf"(^|\.){wrapper}", r"\1", bare)
        bare = bare.removeprefix(PARALLEL_PREFIX)  # torch.compile around DataParallel
        if bare in stripped:
            raise ExportError(
                f"{path}: the tensor {bare!r} stands in it twice, with and without "
                f"{name.removesuffix(bare) or PARALLEL_PREFIX!r}",
                hint="save the checkpoint anew from one model",
            )
        stripped[bare] = tensor
    return stripped
