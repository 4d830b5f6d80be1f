"""Decoders and answers as ONNX Runtime computes them best; see `export.models.ort`.

A bilinear resize is linear and the same for every channel, so it commutes with linear layers:
``linear_c*``, ``linear_fuse.0`` and its BatchNorm become one matrix a stage, applied before the
resize. The concatenation of four times the width at a quarter of the image's size never exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from export.models.decoder import Decoder, resize, score_features
from export.models.ort_block import pointwise
from export.models.trufor import FORGED, PRISTINE, TruFor, TruForHead

# Channels that are at the largest size at a time. All 512 of a 12-megapixel picture are 1.5 GB.
GROUP = 128


class OrtDecoder(Decoder):
    """Four fused maps to one map of logits; of two classes, to their difference."""

    def forward(self, fused: Sequence[Tensor]) -> Tensor:
        """``fused_0..3`` to (B, 1, h_0, w_0): the last class's logit minus the first's, if two."""
        matrices, bias = self._matrices()
        prediction, shift = self._prediction()
        finest = fused[0]
        logits = torch.zeros(())
        groups = range(0, bias.shape[0], GROUP)
        for start in groups:
            group = slice(start, start + GROUP)
            # From the smallest map to the largest, so that few large ones live at once.
            hidden = resize(pointwise(fused[3], matrices[3][group]), finest)
            for maps, matrix in zip(fused[2:0:-1], matrices[2:0:-1], strict=True):
                hidden = hidden + resize(pointwise(maps, matrix[group]), finest)
            hidden = hidden + pointwise(finest, matrices[0][group], bias[group])
            part = pointwise(torch.relu(hidden), prediction[:, group], shift if not start else None)
            logits = logits + part if start else part
        return logits

    def _matrices(self) -> tuple[list[Tensor], Tensor]:
        """A matrix (width, C_i) for each of the fused maps, and the one bias (width,)."""
        layers: tuple[Any, ...] = tuple(self.linear_fuse)
        fuse, norm, _ = layers
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        blocks = (fuse.weight[:, :, 0, 0] * scale[:, None]).split(fuse.out_channels, dim=1)
        projections = (self.linear_c4, self.linear_c3, self.linear_c2, self.linear_c1)
        shift = norm.bias + (fuse.bias - norm.running_mean) * scale
        for block, layer in zip(blocks, projections, strict=True):
            shift = shift + block @ layer.proj.bias
        matrices = [
            block @ layer.proj.weight for block, layer in zip(blocks, projections, strict=True)
        ]
        return matrices[::-1], shift

    def _prediction(self) -> tuple[Tensor, Tensor]:
        """The last layer's one row (1, width) and bias (1,)."""
        weight, bias = self.linear_pred.weight[:, :, 0, 0], self.linear_pred.bias
        assert bias is not None  # the layer has one
        if self.linear_pred.out_channels == 1:
            return weight, bias
        return (
            weight[FORGED : FORGED + 1] - weight[PRISTINE : PRISTINE + 1],
            bias[FORGED : FORGED + 1] - bias[PRISTINE : PRISTINE + 1],
        )


def answers(
    network: TruFor | TruForHead, image: Tensor, np: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """``map`` (B, H, W), ``conf`` (B, H, W) and ``score`` (B,) from one logit a pixel each."""
    fused = network.backbone(network.normalised(image), np)
    evidence = resize(network.decode_head(fused), image)[:, 0]
    confidence = resize(network.decode_head_conf(fused), image)[:, 0]
    detection = network.detection(score_features(confidence, evidence))
    return torch.sigmoid(evidence), torch.sigmoid(confidence), torch.sigmoid(detection[:, 0])


class OrtTruFor(TruFor):
    """The whole detector; the difference of two logits is taken before they are resized."""

    def _answers(self, image: Tensor, np: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return answers(self, image, np)


class OrtTruForHead(TruForHead):
    """The detector without its Noiseprint++, likewise."""

    def _answers(self, image: Tensor, np: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return answers(self, image, np)
