"""The blocks of a stage as ONNX Runtime computes them best; see `export.models.ort`."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from trufor_onnx.export.models.attention import Attention, Block, FeedForward, to_grid, to_maps

DOMAIN = "com.microsoft"
HALVED_UP_TO = 256  # hidden channels: stage 1 of the published network
SHIFT = 0.125  # a power of two; larger ones cost digits (docs/decisions/ort-attention.md)


def multi_head_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """``softmax(q k^T / sqrt(d)) v``, heads side by side.

    ONNX Runtime's CPU kernel goes over keys block by block: no N x M matrix is ever written.

    Args:
        query: (B, N, C).
        key: (B, M, C).
        value: (B, M, C).
        heads: how many; a head's C / heads channels are contiguous.

    Returns:
        (B, N, C).
    """
    # torch's Function is without types.
    attended: Tensor = _MultiHeadAttention.apply(query, key, value, heads)  # type: ignore[no-untyped-call]
    return attended


def gelu(maps: Tensor) -> Tensor:
    """GELU in its erf form, any shape, as one node at every opset."""
    activated: Tensor = _Gelu.apply(maps)  # type: ignore[no-untyped-call]  # as above
    return activated


def to_tokens(grid: Tensor, channels: int) -> Tensor:
    """(B, h, w, C) to (B, h * w, C); the reshape records no size but C."""
    tokens: Tensor = _ToTokens.apply(grid, channels)  # type: ignore[no-untyped-call]  # as above
    return tokens


class _MultiHeadAttention(Function):
    @staticmethod
    def forward(_: Any, *inputs: Any) -> Tensor:
        *projected, heads = inputs
        query, key, value = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in projected)
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)

    @staticmethod
    def symbolic(g: Any, query: Any, key: Any, value: Any, heads: int) -> Any:
        name = f"{DOMAIN}::MultiHeadAttention"
        return g.op(name, query, key, value, num_heads_i=heads).setType(query.type())


class _Gelu(Function):
    @staticmethod
    def forward(_: Any, *inputs: Tensor) -> Tensor:
        return F.gelu(inputs[0])

    @staticmethod
    def symbolic(g: Any, maps: Any) -> Any:
        return g.op(f"{DOMAIN}::Gelu", maps).setType(maps.type())


class _ToTokens(Function):
    @staticmethod
    def forward(_: Any, *inputs: Any) -> Tensor:
        flat: Tensor = inputs[0].flatten(1, 2)
        return flat

    @staticmethod
    def symbolic(g: Any, grid: Any, channels: int) -> Any:
        shape = torch.tensor([0, -1, channels])  # 0 keeps the batch
        return g.op("Reshape", grid, g.op("Constant", value_t=shape))


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None  # all of ours that are asked have one
    return layer.bias


def pointwise(maps: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A matrix (C_out, C_in) on maps (B, C_in, h, w), as a convolution 1 x 1."""
    return F.conv2d(maps, weight[:, :, None, None], bias)


class OrtBlock(Block):
    """The first LayerNorm hands on ``x^ + SHIFT``, x^ being normalised: no scale, no shift.

    Its own scale and shift go into what reads it (`OrtAttention`). A row of x^ adds up to 0 and one
    of ``x^ + SHIFT`` to ``C * SHIFT``, so a matrix can add a bias of its own: `_biased`.
    """

    def forward(self, grid: Tensor) -> Tensor:
        """(B, h, w, C) to the same shape."""
        norm = self.norm1
        ones = torch.ones(norm.normalized_shape, dtype=norm.weight.dtype)
        normal = F.layer_norm(grid, norm.normalized_shape, ones, ones * SHIFT, norm.eps)
        attention = self.attn
        assert isinstance(attention, OrtAttention)  # `export.models.ort` exchanges both
        grid = grid + attention.attend(normal, norm)
        summed: Tensor = grid + self.mlp(self.norm2(grid))
        return summed


def _biased(weight: Tensor, norm: nn.LayerNorm, bias: Tensor) -> Tensor:
    """A matrix (C, C_out) that makes of ``x^ + SHIFT`` what a Linear makes of ``norm``'s output.

    ``W (g x^ + b) + c``: the columns are centred, so that ``SHIFT`` times their sums is 0, and
    then given the constant ``W b + c``, a C-th of it in each row.
    """
    (channels,) = norm.normalized_shape
    scaled = (weight * norm.weight).t()
    mean = torch.ones(channels, dtype=weight.dtype) / channels @ scaled
    constant = weight @ norm.bias + bias
    return scaled - mean + constant / (channels * SHIFT)


class OrtAttention(Attention):
    """Attention as one operator, which adds no biases.

    A bias of the keys adds the same to all scores of a query, which the softmax takes away. One of
    the values is added to each result, so `proj` has it in its own. With one head, as in the first
    stage with the most pixels, the matrices of queries and `proj` are multiplied into those of keys
    and values, of which there are fewer: queries are the tokens themselves.
    """

    def attend(self, normal: Tensor, norm: nn.LayerNorm) -> Tensor:
        """The block's tokens as `OrtBlock` hands them on, and its LayerNorm; (B, h, w, C)."""
        channels = self.heads * self.head_size
        key_weight, value_weight = torch.split(self.kv.weight, channels)
        _, value_bias = torch.split(self.kv.bias, channels)
        source = normal
        if self.reduction > 1:
            source = self.norm(to_grid(self._reduced(to_maps(normal), norm)))
        else:  # what `norm`'s shift adds is a bias again
            value_bias = value_bias + value_weight @ norm.bias - value_weight @ norm.weight * SHIFT
            key_weight, value_weight = key_weight * norm.weight, value_weight * norm.weight
        source = to_tokens(source, channels)
        query = to_tokens(normal, channels)
        query_matrix = _biased(self.q.weight, norm, self.q.bias)
        bias = self.proj.weight @ value_bias + self.proj.bias
        if self.heads == 1:
            key = source @ (key_weight.t() @ query_matrix.t())
            value = source @ (value_weight.t() @ self.proj.weight.t()) + bias
            return multi_head_attention(query, key, value, 1).reshape_as(normal)
        key, value = F.linear(source, key_weight), F.linear(source, value_weight)
        attended = multi_head_attention(query @ query_matrix, key, value, self.heads)
        return F.linear(attended, self.proj.weight, bias).reshape_as(normal)

    def _reduced(self, maps: Tensor, norm: nn.LayerNorm) -> Tensor:
        """`sr` of ``norm``'s output, from ``x^ + SHIFT``: windows do not overlap, nor reach out."""
        weight, channels, window = self.sr.weight, self.sr.in_channels, self.reduction**2
        ones = torch.ones(window, dtype=weight.dtype)
        sums = weight.reshape(channels, channels, window) @ ones
        bias = _bias(self.sr) + sums @ (norm.bias - norm.weight * SHIFT)
        scaled = weight * norm.weight[:, None, None]
        return F.conv2d(maps, scaled, bias, stride=self.reduction)


class OrtFeedForward(FeedForward):
    """Channel-first inside: the four times wider tensors are never transposed.

    In the first stage, where they are the largest tensors of the network, half of their channels
    are computed at a time: the depthwise convolution keeps channels apart.
    """

    def forward(self, grid: Tensor) -> Tensor:
        """(B, h, w, C) to the same shape."""
        maps = to_maps(grid)
        hidden = self.fc1.out_features
        step = hidden // 2 if hidden <= HALVED_UP_TO else hidden
        parts = (
            torch.split(self.fc1.weight, step),
            torch.split(self.fc1.bias, step),
            torch.split(self.dwconv.dwconv.weight, step),
            torch.split(_bias(self.dwconv.dwconv), step),
            torch.split(self.fc2.weight, step, dim=1),
        )
        mixed, bias = None, self.fc2.bias
        for widen, widen_bias, deep, deep_bias, narrow in zip(*parts, strict=True):
            widened = pointwise(maps, widen, widen_bias)
            near = gelu(F.conv2d(widened, deep, deep_bias, padding=1, groups=step))
            part = pointwise(near, narrow, bias if mixed is None else None)
            mixed = part if mixed is None else mixed + part
        assert mixed is not None  # there is one part at least
        return to_grid(mixed)
