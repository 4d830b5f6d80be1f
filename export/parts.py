"""Which tensors of a checkpoint are a network's own, decided by names alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export.spec import ModelSpec

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Part:
    """A network's share of a checkpoint.

    Attributes:
        tensors: by the network's own names.
        sources: what each is called in the checkpoint, by the network's own names.
        left: names in the checkpoint that this network leaves to others.
        one_branch: the checkpoint has one of the network's two branches; both got its tensors.
    """

    tensors: Mapping[str, torch.Tensor]
    sources: Mapping[str, str]
    left: tuple[str, ...]
    one_branch: bool


def own_part(
    spec: ModelSpec, given: Mapping[str, torch.Tensor], expected: Mapping[str, Any]
) -> Part:
    """A network's share of a checkpoint; what is unknown stays in it, to be reported.

    A checkpoint of the whole network has the network's prefix (``spec.prefix``) before its names.
    A checkpoint of one branch of two (``spec.second_branch``) has tensors of the first branch and
    none that both branches share: then the second branch gets the same tensors, and what else is
    in the file (a classifier) is left.

    Args:
        spec: the network.
        given: the checkpoint's tensors by name.
        expected: the network's tensors, by its own names.
    """
    sources = {name: name for name in given}
    left: tuple[str, ...] = ()
    if spec.prefix and any(name.startswith(spec.prefix) for name in given):
        sources = {n.removeprefix(spec.prefix): n for n in given if n.startswith(spec.prefix)}
        left = tuple(name for name in given if not name.startswith(spec.prefix))
    one_branch = _is_one_branch(spec, sources, expected)
    elsewhere = spec.elsewhere
    if one_branch:
        known = {_group(name) for name in expected}
        elsewhere = (*elsewhere, *sorted({_group(name) for name in sources} - known))
    if elsewhere:
        left += tuple(source for own, source in sources.items() if own.startswith(elsewhere))
        sources = {own: n for own, n in sources.items() if not own.startswith(elsewhere)}
    if one_branch:
        second = {spec.second_branch + own: name for own, name in sources.items()}
        sources |= {own: name for own, name in second.items() if own in expected}
    return Part({own: given[n] for own, n in sources.items()}, sources, left, one_branch)


def _is_one_branch(spec: ModelSpec, own: Mapping[str, str], expected: Mapping[str, Any]) -> bool:
    """Every tensor that the network knows is of the first branch: it has a twin in the second."""
    known = [name for name in own if name in expected]
    return (
        bool(spec.second_branch)
        and bool(known)
        and all(spec.second_branch + name in expected for name in known)
    )


def _group(name: str) -> str:
    return name.partition(".")[0] + "."
