"""The networks as ONNX Runtime computes them best: other operators and orders, the same tensors.

What depends on weights only is written out here and computed once, in float64, by
`export.transforms.fold_weights`. Each form is measured: docs/decisions/.
"""

from __future__ import annotations

from export.models.attention import Attention, Block, FeedForward
from export.models.decoder import Decoder
from export.models.fusion import FeatureFusion, FeatureRectification
from export.models.mit_b2 import MiTB2
from export.models.ort_block import OrtAttention, OrtBlock, OrtFeedForward
from export.models.ort_decoder import OrtDecoder, OrtTruFor, OrtTruForHead
from export.models.ort_encoder import OrtEncoder, OrtFusion, OrtRectification
from export.models.rewriting import Classes
from export.models.trufor import TruFor, TruForHead

REWRITTEN: Classes = {
    Block: OrtBlock,
    Attention: OrtAttention,
    FeedForward: OrtFeedForward,
    FeatureRectification: OrtRectification,
    FeatureFusion: OrtFusion,
    MiTB2: OrtEncoder,
    Decoder: OrtDecoder,
    TruFor: OrtTruFor,
    TruForHead: OrtTruForHead,
}
