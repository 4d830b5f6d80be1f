"""Which weights a network gets: a checkpoint, or stand-in values that somebody chose by name."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from trufor_onnx.errors import CoverageError, ExportError, first_few
from trufor_onnx.export.graph.provenance import array_digest
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.checkpoints import Checkpoint
from trufor_onnx.export.weights.coverage import (
    COUNTER,
    Coverage,
    group_list,
    groups,
    measure,
    own_part,
    require_complete,
    require_equal,
    signatures,
    tied_names,
)
from trufor_onnx.export.weights.standin import look_untrained, stand_in_tensor

if TYPE_CHECKING:
    import torch

Kind = Literal["checkpoint", "stand-in", "checkpoint+stand-in"]
SHOWN = 8  # tensors that an error names


@dataclass(frozen=True)
class Weights:
    """A network's tensors, complete, and where each came from.

    Attributes:
        tensors: all tensors by the network's own names.
        digests: SHA-256 of each tensor's content, by the same names.
        digest: SHA-256 over name, dtype, shape and digest of every tensor, in order of names.
        kind: ``checkpoint``, ``stand-in``, or ``checkpoint+stand-in``.
        file: the checkpoint's file name, without its folder ("" for stand-in weights).
        file_sha256: the checkpoint's digest ("" for stand-in weights).
        container: the key in the checkpoint under which the tensors were.
        seed: the seed of the stand-in values ("" where there are none).
        stand_in: names of the tensors that got stand-in values.
        sources: what each tensor is called in the checkpoint, by the network's name.
        tied: later names of tensors that stand in the network twice, with their first names.
        left: groups of tensors in the checkpoint that this network leaves to others.
        coverage: counts of tensors and parameters.
        look_untrained: tensors of a checkpoint that still look as a network is made
            (`export.weights.standin`), with what they look like.
        stored: how many tensors were stored in a narrower type, by its name; they were widened.
    """

    tensors: Mapping[str, torch.Tensor]
    digests: Mapping[str, str]
    digest: str
    kind: Kind
    file: str
    file_sha256: str
    container: str
    seed: str
    stand_in: tuple[str, ...]
    sources: Mapping[str, str]
    tied: Mapping[str, str]
    left: str
    coverage: Mapping[str, int]
    look_untrained: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[str, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What every table and report says: a file's name, or ``stand-in weights``."""
        if self.kind == "stand-in":
            return f"stand-in weights (seed {self.seed})"
        file = f"{self.file} (stored as {', '.join(self.stored)})" if self.stored else self.file
        if self.stand_in:
            share = f"{len(self.stand_in)} of {len(self.tensors)} tensors"
            return f"{file} + stand-in weights (seed {self.seed}) for {share}"
        return file

    def document(self) -> dict[str, Any]:
        """The origin as it is written into ONNX files, lock files and reports."""
        fresh: dict[str, Any] = {}
        fresh |= {"look_untrained": dict(self.look_untrained)} if self.look_untrained else {}
        fresh |= {"stored_as": dict(self.stored)} if self.stored else {}
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
            **fresh,
        }


def stand_in_weights(spec: ModelSpec, module: torch.nn.Module, seed: str) -> Weights:
    """Stand-in values for every tensor of the network, under its names in the whole network."""
    tied = tied_names(module)
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in module.state_dict().items():
        shared = tensors.get(tied.get(name, ""))
        tensors[name] = _stand_in(spec, seed, name, tensor) if shared is None else shared
    expected = signatures(tensors)
    coverage = measure(expected, expected)
    return _weights(tensors, coverage, seed=seed, stand_in=tuple(tensors), tied=tied)


def checkpoint_weights(
    spec: ModelSpec, module: torch.nn.Module, checkpoint: Checkpoint, *, fill_seed: str = ""
) -> Weights:
    """A network's part of a checkpoint, proven complete.

    Args:
        spec: the network.
        module: the network itself, for its tensors' names, shapes and dtypes.
        checkpoint: the file.
        fill_seed: where not empty, tensors that the checkpoint lacks get stand-in values from
            this seed. Every report then says so. A checkpoint that has none of the network's
            tensors is an error all the same.

    Raises:
        CoverageError: a tensor is missing, left over, has another shape or dtype, or two values.
        ExportError: a tensor holds NaN or infinity.
    """
    state, tied = module.state_dict(), tied_names(module)
    expected = signatures(state)
    part = own_part(spec, checkpoint.tensors, expected)
    tensors, stored = _fitted(module, part.tensors, state)
    coverage = measure(expected, signatures(tensors))
    stand_in: tuple[str, ...] = ()
    if fill_seed and coverage.missing and coverage.found:
        stand_in = coverage.missing
        for name in stand_in:
            shared = tensors.get(tied.get(name, ""))
            value = _stand_in(spec, fill_seed, name, state[name]) if shared is None else shared
            tensors[name] = value
        coverage = measure(expected, signatures(tensors))
    if part.one_branch:
        _refuse_one_branch(spec, checkpoint, coverage)
    require_complete(
        coverage,
        _what(spec, checkpoint),
        hint=f"{spec.name} loads from {' or '.join(spec.files) or 'a full checkpoint'}; tensors "
        "that a file lacks get stand-in values only if you say so: --weights FILE --stand-in SEED",
    )
    _require_finite(checkpoint, tensors)
    weights = _weights(
        {name: tensors[name].detach().contiguous() for name in expected},
        coverage,
        seed=fill_seed if stand_in else "",
        stand_in=stand_in,
        sources=part.sources,
        tied=tied,
        checkpoint=checkpoint,
        left=groups(part.left),
    )
    require_equal(tied, weights.digests, _what(spec, checkpoint))
    known = (*stand_in, *tied)
    fresh = look_untrained(weights.tensors, prefix=spec.prefix, known=known)
    return replace(weights, look_untrained=fresh, stored=stored)


def _fitted(
    module: torch.nn.Module,
    given: Mapping[str, torch.Tensor],
    state: Mapping[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    """A network's part of a checkpoint as the network has it; nothing is changed in value.

    Floats of a narrower type are widened, which is exact. Training counters may be absent, they
    are no weights: the network's own stand in. Buffers that the network makes anew and no state
    dict holds are left out where they are the same (TorchScript archives have them).

    Returns:
        The tensors, and how many were stored in which narrower type.
    """
    import torch

    tensors, stored = dict(given), Counter[str]()
    buffers = dict(module.named_buffers())
    for name, tensor in given.items():
        own = state.get(name)
        if own is None:
            made = buffers.get(name)
            if made is not None and torch.equal(made, tensor):
                del tensors[name]
        elif _is_narrower(tensor.dtype, own.dtype):
            tensors[name] = tensor.to(own.dtype)
            stored[str(tensor.dtype).removeprefix("torch.")] += 1
    absent = [name for name in state if name not in tensors and name.endswith(COUNTER)]
    if absent and len(absent) + len(tensors.keys() & state.keys()) == len(state):
        tensors |= {name: state[name].detach().clone() for name in absent}
    return tensors, dict(stored)


def _is_narrower(given: torch.dtype, own: torch.dtype) -> bool:
    """Whether each value of one type of float is a value of the other."""
    import torch

    if not (given.is_floating_point and own.is_floating_point) or given == own:
        return False
    return torch.promote_types(given, own) == own


def _what(spec: ModelSpec, checkpoint: Checkpoint) -> str:
    return f"{checkpoint.path} as {spec.name}"


def _refuse_one_branch(spec: ModelSpec, checkpoint: Checkpoint, coverage: Coverage) -> None:
    """Say what a whole one-branch checkpoint cannot have; other faults are reported as ever."""
    branch = spec.second_branch
    twins = [n for n in coverage.missing if n.startswith(branch) or branch + n in coverage.expected]
    if twins or coverage.misfits or coverage.unexpected or not coverage.missing:
        return
    absent = group_list(coverage.missing, coverage.expected)
    raise CoverageError(
        f"{_what(spec, checkpoint)}: {coverage.share()}; {absent} are in no such file",
        hint=f"use the full checkpoint ({spec.files[0]}: `make weights`), or choose stand-in "
        "values for the missing part by name: --weights FILE --stand-in golden",
    )


def _require_finite(checkpoint: Checkpoint, tensors: Mapping[str, torch.Tensor]) -> None:
    bad = [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    ]
    if bad:
        raise ExportError(
            f"{checkpoint.path}: NaN or infinity in {len(bad)} tensors: {first_few(bad, SHOWN)}",
            hint="the checkpoint is damaged or the training diverged; use another one",
        )


def _stand_in(spec: ModelSpec, seed: str, name: str, like: torch.Tensor) -> torch.Tensor:
    import torch

    if not like.is_floating_point():
        return like.detach().clone()  # counters and index tables: the network's own values
    array = stand_in_tensor(seed, spec.prefix + name, tuple(like.shape))
    return torch.from_numpy(array).to(like.dtype)


def _weights(
    tensors: Mapping[str, torch.Tensor],
    coverage: Coverage,
    *,
    seed: str,
    stand_in: tuple[str, ...],
    tied: Mapping[str, str],
    sources: Mapping[str, str] | None = None,
    checkpoint: Checkpoint | None = None,
    left: str = "",
) -> Weights:
    kind: Kind = "stand-in"
    if checkpoint is not None:
        kind = "checkpoint+stand-in" if stand_in else "checkpoint"
    digests = {name: array_digest(tensor.numpy()) for name, tensor in tensors.items()}
    whole = hashlib.sha256()
    for name, (shape, dtype) in sorted(signatures(tensors).items()):
        whole.update(f"{name}\0{dtype}\0{list(shape)}\0{digests[name]}\n".encode())
    return Weights(
        tensors=tensors,
        digests=digests,
        digest=whole.hexdigest(),
        kind=kind,
        # A name that is not UTF-8 must not end up in an ONNX file.
        file=checkpoint.path.name.encode(errors="replace").decode() if checkpoint else "",
        file_sha256=checkpoint.sha256 if checkpoint else "",
        container=checkpoint.container if checkpoint else "",
        seed=seed,
        stand_in=stand_in,
        sources=sources or {},
        tied=tied,
        left=left,
        coverage=coverage.document() | {"parameters_stand_in": coverage.parameters(stand_in)},
    )
