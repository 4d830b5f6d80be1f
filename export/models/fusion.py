"""How two branches meet after a stage: rectification (FRM), then fusion (FFM).

``rgb`` is the branch of the image, ``extra`` the branch of Noiseprint++.
Source: Zhang et al., 2022 (CMX), as described in ``docs/networks.md``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trufor_onnx.export.models.attention import join_heads, split_heads, to_grid, to_maps

CROSS_NORM_EPS = 1e-5
BATCH_NORM_EPS = 1e-5
STEP = 0.125  # a power of two; sums of its multiples are exact in float32 up to 2,097,152
CHANNEL_SHARE = SPATIAL_SHARE = 0.5  # of each kind of weight in a rectification


def _mean(maps: Tensor) -> Tensor:
    """(B, C, h, w) to the mean of all pixels, (B, C, 1, 1).

    Row by row, then over the rows: one long float32 sum loses digits, and what a mean loses, every
    pixel of the rectified maps inherits (measured: docs/decisions/sums-by-rows.md).
    """
    return maps.mean(3, keepdim=True).mean(2, keepdim=True)


class ChannelWeights(nn.Module):
    """A weight a channel and branch, from the mean and maximum of both branches' maps."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.mlp = nn.Sequential(
            nn.Linear(4 * channels, 4 * channels),
            nn.ReLU(),
            nn.Linear(4 * channels, 2 * channels),
            nn.Sigmoid(),
        )

    def forward(self, rgb: Tensor, extra: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps (B, C, h, w) to two weights (B, C, 1, 1) in 0..1."""
        means = [_mean(rgb), _mean(extra)]
        maxima = [rgb.amax((2, 3), keepdim=True), extra.amax((2, 3), keepdim=True)]
        summary = to_grid(torch.cat(means + maxima, dim=1))
        first, second = torch.split(to_maps(self.mlp(summary)), self.channels, dim=1)
        return first, second


class SpatialWeights(nn.Module):
    """A weight a pixel and branch, from both branches' maps there."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1),
            nn.ReLU(),
            nn.Conv2d(channels, 2, 1),
            nn.Sigmoid(),
        )

    def forward(self, rgb: Tensor, extra: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps (B, C, h, w) to two weights (B, 1, h, w) in 0..1."""
        first, second = self.mlp(torch.cat([rgb, extra], dim=1)).split(1, dim=1)
        return first, second


class FeatureRectification(nn.Module):
    """Adds to each branch a weighted part of the other, both from the unchanged maps.

    ``rgb' = rgb + 0.5 cw1 extra + 0.5 sw1 extra``, ``extra' = extra + 0.5 cw0 rgb + 0.5 sw0 rgb``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_weights = ChannelWeights(channels)
        self.spatial_weights = SpatialWeights(channels)

    def forward(self, rgb: Tensor, extra: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps (B, C, h, w) to two of the same shape."""
        channel0, channel1 = self.channel_weights(rgb, extra)
        spatial0, spatial1 = self.spatial_weights(rgb, extra)
        rgb_rectified = rgb + CHANNEL_SHARE * channel1 * extra + SPATIAL_SHARE * spatial1 * extra
        extra_rectified = extra + CHANNEL_SHARE * channel0 * rgb + SPATIAL_SHARE * spatial0 * rgb
        return rgb_rectified, extra_rectified


class CrossAttention(nn.Module):
    """Each branch's queries on the other branch's context.

    The context of a branch is ``softmax(k^T v / sqrt(d))``, (B, heads, d, d), over the key
    channels: its size does not depend on the image's.
    """

    def __init__(self, channels: int, *, heads: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, channels // heads
        self.kv1 = nn.Linear(channels, 2 * channels, bias=False)
        self.kv2 = nn.Linear(channels, 2 * channels, bias=False)

    def _context(self, keys_values: Tensor) -> Tensor:
        """(B, h, w, 2C) to (B, heads, d, d), each column summing to 1.

        ``k^T v`` is summed row by row, then over the rows, for the reason given at `_mean`: the
        sums reach thousands, and the exponential that follows turns their rounding into factors.
        """
        rows = keys_values.reshape(*keys_values.shape[:3], 2 * self.heads, self.head_size)
        key, value = torch.split(rows.permute(0, 3, 1, 2, 4), self.heads, dim=1)
        scores = self._scores(key.transpose(-2, -1) @ value)
        return torch.softmax(scores * self.head_size**-0.5, dim=-2)

    def _scores(self, rows: Tensor) -> Tensor:
        """The products of each row, (B, heads, h, d, d), to those of all, (B, heads, d, d)."""
        return rows.sum(2)

    def forward(self, rgb: Tensor, extra: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of both branches on their grid (B, h, w, C) to two of the same shape."""
        rgb_context, extra_context = self._context(self.kv1(rgb)), self._context(self.kv2(extra))
        rgb_out = split_heads(rgb, self.heads, self.head_size) @ extra_context
        extra_out = split_heads(extra, self.heads, self.head_size) @ rgb_context
        return join_heads(rgb_out, like=rgb), join_heads(extra_out, like=extra)


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


class CrossPath(nn.Module):
    """Half of each branch's projected channels go through cross attention, half go around it."""

    def __init__(self, channels: int, *, heads: int) -> None:
        super().__init__()
        self.channels = channels
        self.channel_proj1 = nn.Linear(channels, 2 * channels)
        self.channel_proj2 = nn.Linear(channels, 2 * channels)
        self.cross_attn = CrossAttention(channels, heads=heads)
        self.end_proj1 = nn.Linear(2 * channels, channels)
        self.end_proj2 = nn.Linear(2 * channels, channels)
        self.norm1 = nn.LayerNorm(channels, eps=CROSS_NORM_EPS)
        self.norm2 = nn.LayerNorm(channels, eps=CROSS_NORM_EPS)

    def _halves(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """(B, h, w, 2C) to the channels that go around (y) and through (u), (B, h, w, C) each."""
        around, through = torch.split(torch.relu(projected), self.channels, dim=-1)
        return around, through

    def forward(self, rgb: Tensor, extra: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of both branches on their grid (B, h, w, C) to two of the same shape."""
        rgb_around, rgb_through = self._halves(self.channel_proj1(rgb))
        extra_around, extra_through = self._halves(self.channel_proj2(extra))
        rgb_through, extra_through = self.cross_attn(rgb_through, extra_through)
        rgb_end = self.end_proj1(torch.cat([rgb_around, rgb_through], dim=-1))
        extra_end = self.end_proj2(torch.cat([extra_around, extra_through], dim=-1))
        return self.norm1(rgb + rgb_end), self.norm2(extra + extra_end)


class ChannelEmbedding(nn.Module):
    """Both branches' channels to one branch's: 1 x 1 residual plus a depthwise path, normalised."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.channel_embed = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS),
        )
        self.norm = nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, 2C, h, w) to (B, C, h, w)."""
        embedded: Tensor = self.norm(self.residual(maps) + self.channel_embed(maps))
        return embedded


class FeatureFusion(nn.Module):
    """Two rectified maps (B, C, h, w) to the stage's fused map, the same shape."""

    def __init__(self, channels: int, *, heads: int) -> None:
        super().__init__()
        self.cross = CrossPath(channels, heads=heads)
        self.channel_emb = ChannelEmbedding(channels)

    def forward(self, rgb: Tensor, extra: Tensor) -> Tensor:
        """Two maps (B, C, h, w) to one of the same shape."""
        grids = self.cross(to_grid(rgb), to_grid(extra))
        fused: Tensor = self.channel_emb(to_maps(torch.cat(grids, dim=-1)))
        return fused


# What takes the place of a class in portable files: `export.variants.rewrite`.
REWRITTEN = {CrossAttention: PortableCrossAttention}
