"""Operators of ONNX Runtime's own domain (``com.microsoft``), as torch functions that are traced.

Each computes in torch what the operator computes, and is recorded as that one node.
Source: ONNX Runtime, docs/ContribOperators.md.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

DOMAIN = "com.microsoft"


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
