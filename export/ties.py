"""Tensors that stand in a network under several names (shared layers, tied embeddings)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from export.errors import CoverageError

if TYPE_CHECKING:
    import torch


def tied_names(module: torch.nn.Module) -> dict[str, str]:
    """The later names of shared tensors, each with the first name of the same tensor."""
    first: dict[int, str] = {}
    tied: dict[str, str] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if first.setdefault(id(tensor), name) != name:
            tied[name] = first[id(tensor)]
    return tied


def require_equal(tied: Mapping[str, str], digests: Mapping[str, str], what: str) -> None:
    """Refuse a checkpoint that gives one tensor two values.

    Args:
        tied: from `tied_names`.
        digests: SHA-256 of each tensor by name.
        what: the file and the network, for the message.

    Raises:
        CoverageError: names the tensors.
    """
    torn = [
        f"{name} and {first}" for name, first in tied.items() if digests[name] != digests[first]
    ]
    if torn:
        raise CoverageError(
            f"{what}: one tensor of the network has two values: {'; '.join(torn[:4])}",
            hint="the checkpoint was made from another network, or saved by parts",
        )
