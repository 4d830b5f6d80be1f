"""What reads the fused maps: the two decoders, and the statistics behind the score."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trufor_onnx.export.models.attention import to_grid, to_maps

# Beyond this log(1 + exp(x)) and x are the same float64 number.
SOFTPLUS_LINEAR_FROM = 40.0


def resize(maps: Tensor, like: Tensor) -> Tensor:
    """(B, C, h, w) to (B, C, H, W), the size of ``like``: bilinear, pixel areas aligned."""
    return F.interpolate(maps, size=like.shape[2:], mode="bilinear", align_corners=False)


class Projection(nn.Module):
    """A map's channels to the decoder's: (B, C, h, w) to (B, width, h, w)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, width)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) to (B, width, h, w)."""
        return to_maps(self.proj(to_grid(maps)))


class Decoder(nn.Module):
    """Four fused maps to logits at the size of the first of them.

    Source: Xie et al., 2021 (SegFormer): project all to one width, resize to the largest,
    concatenate from the coarsest to the finest, fuse and predict pixel by pixel.
    """

    def __init__(
        self, channels: Sequence[int], *, width: int, classes: int, batch_norm_eps: float
    ) -> None:
        super().__init__()
        self.linear_c4 = Projection(channels[3], width)
        self.linear_c3 = Projection(channels[2], width)
        self.linear_c2 = Projection(channels[1], width)
        self.linear_c1 = Projection(channels[0], width)
        self.linear_fuse = nn.Sequential(
            nn.Conv2d(4 * width, width, 1),
            nn.BatchNorm2d(width, eps=batch_norm_eps),
            nn.ReLU(),
        )
        self.linear_pred = nn.Conv2d(width, classes, 1)

    def forward(self, fused: Sequence[Tensor]) -> Tensor:
        """``fused_0..3`` to (B, classes, h_0, w_0), any range."""
        finest, second, third, coarsest = fused
        projected = [
            resize(self.linear_c4(coarsest), finest),
            resize(self.linear_c3(third), finest),
            resize(self.linear_c2(second), finest),
            self.linear_c1(finest),
        ]
        logits: Tensor = self.linear_pred(self.linear_fuse(torch.cat(projected, dim=1)))
        return logits


def log_sigmoid(logits: Tensor) -> Tensor:
    """``log(sigmoid(x))``, exact also where the sigmoid itself is 0 or 1 in floating point."""
    return -F.softplus(-logits, threshold=SOFTPLUS_LINEAR_FROM)


def _peak(maps: Tensor) -> Tensor:
    """(B, H, W) to the greatest of all pixels, (B, 1, 1)."""
    return maps.amax((1, 2), keepdim=True)


def _total(maps: Tensor) -> Tensor:
    """(B, H, W) to the sum of all pixels, (B,).

    Row by row, then over the rows: one long float32 sum loses digits, two of them at a megapixel in
    ONNX Runtime (measured: docs/decisions/sums-by-rows.md).
    """
    return maps.sum(2).sum(1)


def weighted_statistics(values: Tensor, log_weights: Tensor) -> Tensor:
    """Soft minimum, soft maximum, mean and mean square of the pixels, weighted.

    The weights are ``softmax(log_weights)`` over all pixels. Soft minimum and maximum are
    ``-log sum w exp(-v)`` and ``log sum w exp(v)``, with the greatest term of each sum taken out,
    so that nothing overflows and equal weights are exactly equal.

    Args:
        values: (B, H, W).
        log_weights: (B, H, W), up to a constant.

    Returns:
        (B, 4), in the order above.
    """
    top = _peak(log_weights)
    weights = torch.exp(log_weights - top)
    weight = _total(weights)

    def soft_maximum(exponents: Tensor) -> Tensor:
        joint = log_weights + exponents
        joint_top = _peak(joint)
        share = _total(torch.exp(joint - joint_top)) / weight
        return (joint_top - top)[:, 0, 0] + torch.log(share)

    return torch.stack(
        [
            -soft_maximum(-values),
            soft_maximum(values),
            _total(weights * values) / weight,
            _total(weights * values * values) / weight,
        ],
        dim=1,
    )


def score_features(confidence: Tensor, evidence: Tensor) -> Tensor:
    """What the score is made of: statistics of the confidence, and of the evidence by confidence.

    Args:
        confidence: (B, H, W), the confidence logits c.
        evidence: (B, H, W), forged minus pristine logit.

    Returns:
        (B, 8): ``statistics(c, uniform)``, then ``statistics(evidence, sigmoid(c))``.
    """
    return torch.cat(
        [
            weighted_statistics(confidence, torch.zeros_like(confidence)),
            weighted_statistics(evidence, log_sigmoid(confidence)),
        ],
        dim=1,
    )
