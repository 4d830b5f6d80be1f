"""ONNX Runtime's own operators as its documentation defines them, for `parity.witness`.

Those that the exported files hold, in the form that they hold: anything else is no witness. None of
it is ONNX Runtime's code, which is what it judges.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

DOMAIN = "com.microsoft"
GIVEN = {"num_heads", "scale"}  # attributes of an attention that are known here
erf = np.vectorize(math.erf, otypes=[np.float64])


def gelu(x: Any) -> Any:
    """``x * P(X <= x)`` of a normal X, without the approximation by tanh."""
    return (x * 0.5 * (1.0 + erf(x * math.sqrt(0.5)))).astype(x.dtype)


def attention(query: Any, key: Any, value: Any, *, heads: int, scale: float = 0.0) -> Any:
    """``softmax(scale * q k^T) v`` of each head.

    Args:
        query: (B, N, C).
        key: (B, M, C).
        value: (B, M, C).
        heads: how many heads the channels are of.
        scale: of the products; where 0, one over the root of a head's channels.
    """
    queries, keys, values = (
        given.reshape(*given.shape[:2], heads, -1).transpose(0, 2, 1, 3)
        for given in (query, key, value)
    )
    scores = queries @ keys.transpose(0, 1, 3, 2) * (scale or queries.shape[-1] ** -0.5)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    return (shares @ values).transpose(0, 2, 1, 3).reshape(query.shape).astype(query.dtype)


@cache
def operators() -> tuple[Any, ...]:
    """What onnx's reference implementation is to know beside its own operators."""
    from onnx.reference.op_run import OpRun

    class Gelu(OpRun):
        op_domain = DOMAIN

        def _run(self, x: Any, **_: Any) -> tuple[Any]:
            if self.onnx_node.attribute:
                raise NotImplementedError("another function than the exporter's")
            return (gelu(x),)

    class MultiHeadAttention(OpRun):
        op_domain = DOMAIN

        def _run(self, query: Any, key: Any, value: Any, *others: Any, **_: Any) -> tuple[Any]:
            given = {one.name: one for one in self.onnx_node.attribute}
            whole = query.ndim == key.ndim == value.ndim == 3
            if not whole or set(given) - GIVEN or any(other is not None for other in others):
                raise NotImplementedError("an attention of another form than the exporter's")
            scale = given["scale"].f if "scale" in given else 0.0
            return (attention(query, key, value, heads=given["num_heads"].i, scale=scale),)

    return Gelu, MultiHeadAttention
