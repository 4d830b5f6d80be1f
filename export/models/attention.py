"""The parts of a SegFormer encoder: patch embedding, attention, feed-forward, block.

Tokens stay on their grid, as ``(B, h, w, C)``: LayerNorm and Linear work on the last axis there,
and a convolution needs a permutation only. The two axes become one for the products of attention
alone, so that no size has to be carried along or multiplied (which a recorded graph would show).

Source: Xie et al., 2021 (SegFormer), as described in ``docs/networks.md``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EMBEDDING_NORM_EPS = 1e-5  # after a patch embedding, and after the reduction inside attention
BLOCK_NORM_EPS = 1e-6  # the two of a block, and the one that ends a stage
FEED_FORWARD_RATIO = 4


def to_grid(maps: Tensor) -> Tensor:
    """(B, C, h, w) to tokens on their grid, (B, h, w, C)."""
    return maps.permute(0, 2, 3, 1)


def to_maps(grid: Tensor) -> Tensor:
    """Tokens on their grid, (B, h, w, C), to (B, C, h, w)."""
    return grid.permute(0, 3, 1, 2)


def split_heads(grid: Tensor, heads: int, size: int) -> Tensor:
    """(B, h, w, heads * size) to (B, heads, h * w, size): a head's channels are contiguous."""
    return grid.reshape(grid.shape[0], -1, heads, size).transpose(1, 2)


def join_heads(heads: Tensor, like: Tensor) -> Tensor:
    """(B, heads, h * w, d) back to the shape of ``like``, (B, h, w, C)."""
    return heads.transpose(1, 2).reshape_as(like)


class PatchEmbedding(nn.Module):
    """Overlapping patches: convolution, then LayerNorm over the channels.

    (B, C_in, H, W) to tokens on their grid (B, h, w, C), where the convolution's own arithmetic
    rounds sizes up: 7 x 7 with stride 4 (stage 1) or 3 x 3 with stride 2.
    """

    def __init__(self, channels_in: int, channels: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels_in, channels, kernel, stride=stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(channels, eps=EMBEDDING_NORM_EPS)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C_in, H, W) to (B, h, w, C)."""
        embedded: Tensor = self.norm(to_grid(self.proj(maps)))
        return embedded


class Attention(nn.Module):
    """Multi-head self-attention whose keys and values are taken on a coarser grid.

    ``softmax(q k^T / sqrt(d)) v`` with d = C / heads. For ``reduction`` r > 1 keys and values come
    from a convolution r x r with stride r; rows and columns that fill no window are dropped.
    """

    def __init__(self, channels: int, *, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, channels // heads
        self.reduction = reduction
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)
        if reduction > 1:
            self.sr = nn.Conv2d(channels, channels, reduction, stride=reduction)
            self.norm = nn.LayerNorm(channels, eps=EMBEDDING_NORM_EPS)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, h, w, C) to the same shape."""
        source = grid
        if self.reduction > 1:
            source = self.norm(to_grid(self.sr(to_maps(grid))))
        query = split_heads(self.q(grid), self.heads, self.head_size) * self.head_size**-0.5
        # Heads of the keys come before heads of the values.
        keys_values = split_heads(self.kv(source), 2 * self.heads, self.head_size)
        key, value = torch.split(keys_values, self.heads, dim=1)
        weights = torch.softmax(query @ key.transpose(-2, -1), dim=-1)
        attended: Tensor = self.proj(join_heads(weights @ value, like=grid))
        return attended


class DepthwiseConv(nn.Module):
    """Each channel's own 3 x 3 convolution on the grid: (B, h, w, C) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, h, w, C) to the same shape."""
        return to_grid(self.dwconv(to_maps(grid)))


class FeedForward(nn.Module):
    """Linear to four times the channels, depthwise convolution, GELU (erf form), Linear back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = FEED_FORWARD_RATIO * channels
        self.fc1 = nn.Linear(channels, hidden)
        self.dwconv = DepthwiseConv(hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, h, w, C) to the same shape."""
        mixed: Tensor = self.fc2(F.gelu(self.dwconv(self.fc1(grid))))
        return mixed


class Block(nn.Module):
    """Attention and feed-forward, each on normalised tokens and added to what came in."""

    def __init__(self, channels: int, *, heads: int, reduction: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=BLOCK_NORM_EPS)
        self.attn = Attention(channels, heads=heads, reduction=reduction)
        self.norm2 = nn.LayerNorm(channels, eps=BLOCK_NORM_EPS)
        self.mlp = FeedForward(channels)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, h, w, C) to the same shape."""
        grid = grid + self.attn(self.norm1(grid))
        summed: Tensor = grid + self.mlp(self.norm2(grid))
        return summed
