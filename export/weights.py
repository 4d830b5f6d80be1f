"""Which weights a network gets: a checkpoint, or stand-in values that somebody chose by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunking.hashing import sha256_bytes
from export.checkpoints import Checkpoint
from export.coverage import Coverage, groups, measure, require_complete, signatures
from export.errors import CoverageError, ExportError
from export.spec import ModelSpec
from export.standin import stand_in_tensor

if TYPE_CHECKING:
    import torch

Kind = str  # "checkpoint", "stand-in" or "checkpoint+stand-in"


@dataclass(frozen=True)
class Weights:
    """A network's tensors, complete, and where each came from.

    Attributes:
        tensors: all tensors by the network's own names.
        digest: SHA-256 over name, dtype, shape and content of every tensor.
        kind: ``checkpoint``, ``stand-in``, or ``checkpoint+stand-in``.
        file: the checkpoint's file name, without its folder ("" for stand-in weights).
        file_sha256: the checkpoint's digest ("" for stand-in weights).
        container: the key in the checkpoint under which the tensors were.
        seed: the seed of the stand-in values ("" where there are none).
        stand_in: names of the tensors that got stand-in values.
        sources: what each tensor is called in the checkpoint, by the network's name.
        left: groups of tensors in the checkpoint that this network leaves to others.
        coverage: counts of tensors and parameters.
    """

    tensors: Mapping[str, torch.Tensor]
    digest: str
    kind: Kind
    file: str
    file_sha256: str
    container: str
    seed: str
    stand_in: tuple[str, ...]
    sources: Mapping[str, str]
    left: str
    coverage: Mapping[str, int]

    @property
    def label(self) -> str:
        """What every table and report says: a file's name, or ``stand-in weights``."""
        if self.kind == "stand-in":
            return f"stand-in weights (seed {self.seed})"
        if self.stand_in:
            share = f"{len(self.stand_in)} of {len(self.tensors)} tensors"
            return f"{self.file} + stand-in weights (seed {self.seed}) for {share}"
        return self.file

    def document(self) -> dict[str, Any]:
        """The origin as it is written into ONNX files, lock files and reports."""
        return {
            "label": self.label,
            "kind": self.kind,
            "digest": self.digest,
            "file": self.file,
            "file_sha256": self.file_sha256,
            "container": self.container,
            "seed": self.seed,
            "stand_in": list(self.stand_in) if self.kind != "stand-in" else ["*"],
            "left_in_checkpoint": self.left,
            "coverage": dict(self.coverage),
        }


def stand_in_weights(spec: ModelSpec, module: torch.nn.Module, seed: str) -> Weights:
    """Stand-in values for every tensor of the network, under its names in the whole network."""
    tensors = {
        name: _stand_in(spec, seed, name, tensor) for name, tensor in module.state_dict().items()
    }
    expected = signatures(tensors)
    return _weights(
        tensors, measure(expected, expected), seed=seed, stand_in=tuple(tensors), sources={}
    )


def checkpoint_weights(
    spec: ModelSpec, module: torch.nn.Module, checkpoint: Checkpoint, *, fill_seed: str = ""
) -> Weights:
    """A network's part of a checkpoint, proven complete.

    Args:
        spec: the network.
        module: the network itself, for its tensors' names, shapes and dtypes.
        checkpoint: the file.
        fill_seed: where not empty, tensors that the checkpoint lacks get stand-in values from
            this seed. Every report then says so.

    Raises:
        CoverageError: a tensor is missing, left over, or has another shape or dtype.
        ExportError: a tensor holds NaN or infinity.
    """
    expected = signatures(module.state_dict())
    part = _own_part(spec, checkpoint.tensors, expected)
    coverage = measure(expected, signatures(part.tensors))
    stand_in: tuple[str, ...] = ()
    tensors = dict(part.tensors)
    if fill_seed and coverage.missing and coverage.found:
        stand_in = coverage.missing
        for name in stand_in:
            tensors[name] = _stand_in(spec, fill_seed, name, module.state_dict()[name])
        coverage = measure(expected, signatures(tensors))
    _require(spec, checkpoint, coverage, one_branch=part.one_branch)
    _require_finite(checkpoint, tensors)
    ordered = {name: tensors[name].contiguous() for name in expected}
    sources = {name: source for name, source in part.sources.items() if name in expected}
    return _weights(
        ordered,
        coverage,
        seed=fill_seed if stand_in else "",
        stand_in=stand_in,
        sources=sources,
        checkpoint=checkpoint,
        left=groups(part.left),
    )


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over every tensor's name, dtype, shape and content, in order of names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name].detach().contiguous().numpy()
        line = f"{name}\0{array.dtype.str}\0{list(array.shape)}\0{sha256_bytes(array.data)}\n"
        digest.update(line.encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Part:
    """A network's share of a checkpoint: tensors and source names by the network's names."""

    tensors: Mapping[str, torch.Tensor]
    sources: Mapping[str, str]
    left: tuple[str, ...]
    one_branch: bool


def _own_part(
    spec: ModelSpec, given: Mapping[str, torch.Tensor], expected: Mapping[str, Any]
) -> _Part:
    """Map names of the checkpoint to names of the network; decide by names alone."""
    if spec.prefix and any(name.startswith(spec.prefix) for name in given):
        sources = {n.removeprefix(spec.prefix): n for n in given if n.startswith(spec.prefix)}
        left = tuple(name for name in given if not name.startswith(spec.prefix))
        return _Part({own: given[n] for own, n in sources.items()}, sources, left, False)
    branch = spec.second_branch
    one_branch = bool(branch) and not any(name.startswith(branch) for name in given)
    elsewhere = spec.elsewhere
    if one_branch:  # an image classifier's encoder: both branches start from it
        classifier = {name.partition(".")[0] + "." for name in given} - {
            name.partition(".")[0] + "." for name in expected
        }
        elsewhere = (*elsewhere, *sorted(classifier))
    left = tuple(name for name in given if name.startswith(elsewhere)) if elsewhere else ()
    sources = {name: name for name in given if name not in left}
    if one_branch:
        sources |= {branch + name: name for name in sources if branch + name in expected}
    return _Part({own: given[n] for own, n in sources.items()}, sources, left, one_branch)


def _require(
    spec: ModelSpec, checkpoint: Checkpoint, coverage: Coverage, *, one_branch: bool
) -> None:
    what = f"{checkpoint.path} as {spec.name}"
    if one_branch and coverage.found and coverage.missing and not coverage.misfits:
        absent = ", ".join(
            f"{g}.*"
            for g in dict.fromkeys(n.split(".")[0] for n in sorted(coverage.missing, reverse=True))
        )
        raise CoverageError(
            f"{what}: {coverage.share()}; {absent} are in no such file",
            hint="use the full checkpoint (trufor.pth.tar: `make weights`), or choose stand-in "
            "values for the missing part by name: --weights FILE --stand-in golden",
        )
    require_complete(
        coverage,
        what,
        hint=f"{spec.name} loads from {' or '.join(spec.files) or 'a full checkpoint'}; tensors "
        "that a file lacks get stand-in values only if you say so: --weights FILE --stand-in SEED",
    )


def _require_finite(checkpoint: Checkpoint, tensors: Mapping[str, torch.Tensor]) -> None:
    bad = [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    ]
    if bad:
        raise ExportError(
            f"{checkpoint.path}: NaN or infinity in {len(bad)} tensors: {', '.join(bad[:8])}",
            hint="the checkpoint is damaged or the training diverged; use another one",
        )


def _stand_in(spec: ModelSpec, seed: str, name: str, like: torch.Tensor) -> torch.Tensor:
    import torch

    array = stand_in_tensor(seed, spec.prefix + name, tuple(like.shape))
    if not like.is_floating_point():
        return like.detach().clone()  # counters and index tables: the network's own values
    return torch.from_numpy(array).to(like.dtype)


def _weights(
    tensors: Mapping[str, torch.Tensor],
    coverage: Coverage,
    *,
    seed: str,
    stand_in: tuple[str, ...],
    sources: Mapping[str, str],
    checkpoint: Checkpoint | None = None,
    left: str = "",
) -> Weights:
    kind = "stand-in" if checkpoint is None else "checkpoint"
    return Weights(
        tensors=tensors,
        digest=tensors_digest(tensors),
        kind=kind if checkpoint is None or not stand_in else "checkpoint+stand-in",
        file=checkpoint.path.name if checkpoint else "",
        file_sha256=checkpoint.sha256 if checkpoint else "",
        container=checkpoint.container if checkpoint else "",
        seed=seed,
        stand_in=stand_in,
        sources=sources,
        left=left,
        coverage=coverage.document() | {"parameters_stand_in": coverage.parameters(stand_in)},
    )
