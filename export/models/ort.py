"""The networks as ONNX Runtime computes them best: other operators and orders, the same tensors.

A module's class is exchanged for one with another ``forward`` and no tensors of its own, so that
names and weights stay as they are. What depends on weights only is written out here and computed
once, in float64, by `export.transforms.fold_weights`. Each form is measured: docs/decisions/.
"""

from __future__ import annotations

from torch import nn

from export.models.attention import Attention, FeedForward
from export.models.decoder import Decoder
from export.models.fusion import FeatureFusion, FeatureRectification
from export.models.mit_b2 import MiTB2
from export.models.ort_decoder import OrtDecoder, OrtTruFor, OrtTruForHead
from export.models.ort_encoder import (
    OrtAttention,
    OrtEncoder,
    OrtFeedForward,
    OrtFusion,
    OrtRectification,
)
from export.models.trufor import TruFor, TruForHead

REWRITTEN: dict[type[nn.Module], type[nn.Module]] = {
    Attention: OrtAttention,
    FeedForward: OrtFeedForward,
    FeatureRectification: OrtRectification,
    FeatureFusion: OrtFusion,
    MiTB2: OrtEncoder,
    Decoder: OrtDecoder,
    TruFor: OrtTruFor,
    TruForHead: OrtTruForHead,
}


def rewrite(module: nn.Module) -> nn.Module:
    """Change how a network computes, not what: its parameters keep their names and values."""
    for part in module.modules():
        if type(part) in REWRITTEN:
            part.__class__ = REWRITTEN[type(part)]
    return module
