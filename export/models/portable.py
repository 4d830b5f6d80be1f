"""What exported files compute with more care than the network as it is written.

The context of a cross attention is an exponential of sums over all pixels. They reach thousands, so
what float32 leaves of such a sum, 1e-4, is a factor in the context. docs/decisions/context-sums.md.
"""

from __future__ import annotations

import torch
from torch import Tensor

from export.models.fusion import CrossAttention
from export.models.rewriting import Classes

STEP = 0.125  # a power of two; sums of its multiples are exact in float32 up to 2,097,152


def split(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Float32 numbers as the nearest multiple of `STEP`, and the rest; nothing is lost."""
    coarse = torch.round(numbers * (1.0 / STEP)) * STEP
    return coarse, numbers - coarse


class PortableCrossAttention(CrossAttention):
    """Sums the multiples of a step without an error, and the small rests beside them."""

    def _scores(self, rows: Tensor) -> Tensor:
        """(B, heads, h, d, d) products of each row to their sum, but for a constant a column."""
        coarse, rest = (part.sum(2) for part in split(rows))
        # The greatest is taken out here, where it is exact; the softmax does not see it.
        return (coarse - coarse.amax(-2, keepdim=True)) + rest


REWRITTEN: Classes = {CrossAttention: PortableCrossAttention}
