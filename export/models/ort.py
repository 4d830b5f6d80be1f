"""The networks as ONNX Runtime computes them best: other operators, the same tensors."""

from __future__ import annotations

from torch import nn


def rewrite(module: nn.Module) -> nn.Module:
    """Change how a network computes, not what: its parameters keep their names and values."""
    return module
