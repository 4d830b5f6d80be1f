"""The networks as ONNX Runtime computes them best: other operators and orders, the same tensors.

What depends on weights only is written out here and computed once, in float64, by
`export.transforms.fold_weights`. Each form is measured: docs/decisions/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trufor_onnx.export.models.attention import (
    Attention,
    Block,
    FeedForward,
    split_heads,
    to_grid,
    to_maps,
)
from trufor_onnx.export.models.decoder import Decoder, resize, score_features
from trufor_onnx.export.models.fusion import (
    CHANNEL_SHARE,
    SPATIAL_SHARE,
    FeatureFusion,
    FeatureRectification,
)
from trufor_onnx.export.models.mit_b2 import STAGES, MiTB2, check_images
from trufor_onnx.export.models.ort_block import (
    OrtAttention,
    OrtBlock,
    OrtFeedForward,
    pointwise,
    to_tokens,
)
from trufor_onnx.export.models.trufor import FORGED, PRISTINE, TruFor, TruForHead

# Channels. At 512 and 256 tokens the C x C products in float64 took 9 ms, keys and values 3.
DIRECT_FROM = 512
# Channels that are at the largest size at a time. All 512 of a 12-megapixel picture are 1.5 GB.
GROUP = 128


class OrtRectification(FeatureRectification):
    """Both shares of the other branch are added up before they are multiplied with it."""

    def forward(self, rgb: Tensor, extra: Tensor) -> tuple[Tensor, Tensor]:
        """Two grids (B, h, w, C) to two of the same shape."""
        channel0, channel1 = self._channel(rgb, extra)
        spatial0, spatial1 = self._spatial(rgb, extra)
        return rgb + extra * (channel1 + spatial1), extra + rgb * (channel0 + spatial0)

    def _channel(self, rgb: Tensor, extra: Tensor) -> tuple[Tensor, Tensor]:
        """Each branch's share a channel, (B, 1, 1, C); means row by row, as in `fusion`."""
        means = [grid.mean(2, keepdim=True).mean(1, keepdim=True) for grid in (rgb, extra)]
        maxima = [grid.amax(2, keepdim=True).amax(1, keepdim=True) for grid in (rgb, extra)]
        weights = self.channel_weights.mlp(torch.cat(means + maxima, dim=3)) * CHANNEL_SHARE
        first, second = torch.split(weights, self.channel_weights.channels, dim=3)
        return first, second

    def _spatial(self, rgb: Tensor, extra: Tensor) -> tuple[Tensor, Tensor]:
        """Each branch's share a pixel, (B, h, w, 1), without joining the two."""
        layers: tuple[Any, ...] = tuple(self.spatial_weights.mlp)
        first, _, second, _ = layers
        of_rgb, of_extra = torch.split(
            first.weight[:, :, 0, 0], self.channel_weights.channels, dim=1
        )
        hidden = torch.relu(F.linear(rgb, of_rgb, first.bias) + F.linear(extra, of_extra))
        weights = torch.sigmoid(F.linear(hidden, second.weight[:, :, 0, 0], second.bias))
        share0, share1 = torch.split(weights * SPATIAL_SHARE, 1, dim=3)
        return share0, share1


class OrtFusion(FeatureFusion):
    """Cross attention as a change of weights: its d x d contexts are multiplied into ``end_proj``.

    ``u @ context`` followed by a Linear is ``u`` times one matrix a picture. So neither the
    attended tokens nor a joined 2C-wide tensor is written.
    """

    def forward(self, rgb: Tensor, extra: Tensor) -> Tensor:
        """Two grids (B, h, w, C) to one map (B, C, h, w)."""
        path = self.cross
        rgb_around, rgb_through = self._halves(path.channel_proj1, rgb)
        extra_around, extra_through = self._halves(path.channel_proj2, extra)
        rgb_context = self._context(path.cross_attn.kv1, rgb_through)
        extra_context = self._context(path.cross_attn.kv2, extra_through)
        rgb = path.norm1(rgb + self._end(path.end_proj1, rgb_around, rgb_through, extra_context))
        extra = path.norm2(
            extra + self._end(path.end_proj2, extra_around, extra_through, rgb_context)
        )
        return self._embed(to_maps(rgb), to_maps(extra))

    def _halves(self, linear: nn.Linear, grid: Tensor) -> tuple[Tensor, Tensor]:
        """What goes around the attention and what goes through it, (B, h, w, C) each."""
        channels = self.cross.channels
        weights, biases = torch.split(linear.weight, channels), torch.split(linear.bias, channels)
        parts = zip(weights, biases, strict=True)
        around, through = (torch.relu(F.linear(grid, w, b)) for w, b in parts)
        return around, through

    def _context(self, linear: nn.Linear, through: Tensor) -> Tensor:
        """``softmax(k^T v / sqrt(d))``, (B, heads, d, d), in one of three ways.

        - One head, as in the first stage with the most pixels: the sums reach thousands, so each
          row's are added up in float64 (docs/decisions/context-sums.md).
        - Few channels: ``k^T v = W_k (u^T u) W_v^T``, so keys and values need not exist. What is
          left is C x C, and in float64: ``u^T u`` is of one sign, and the product cancels it.
        - Many channels: as it is written, since C x C in float64 would cost more.
        """
        attention, channels = self.cross.cross_attn, self.cross.channels
        heads, size = attention.heads, attention.head_size
        keys, values = torch.split(linear.weight, channels)
        if heads == 1:
            key, value = F.linear(through, keys), F.linear(through, values)
            rows = (key.transpose(-2, -1) @ value).double()
            scores = rows.sum(1, keepdim=True) * size**-0.5
            return torch.softmax(scores, dim=-2).to(through.dtype)
        if channels >= DIRECT_FROM:
            key, value = (split_heads(F.linear(through, w), heads, size) for w in (keys, values))
            return torch.softmax(key.transpose(-2, -1) @ value * size**-0.5, dim=-2)
        tokens = to_tokens(through, channels)
        products = (tokens.transpose(-2, -1) @ tokens).double()
        # (B, heads, d, C) @ (heads, C, d)
        left = (keys.double() @ products).reshape(-1, heads, size, channels)
        right = values.double().t().reshape(channels, heads, size).transpose(0, 1)
        scores = left @ right * size**-0.5
        return torch.softmax(scores, dim=-2).to(through.dtype)

    def _end(self, linear: nn.Linear, around: Tensor, through: Tensor, context: Tensor) -> Tensor:
        """``linear`` of (around, through @ context), (B, h, w, C)."""
        heads, size = self.cross.cross_attn.heads, self.cross.cross_attn.head_size
        of_around, of_through = torch.split(linear.weight, self.cross.channels, dim=1)
        rows = of_through.t().reshape(heads, size, heads * size)
        matrix = (context @ rows).reshape(-1, heads * size, heads * size)
        attended = (to_tokens(through, heads * size) @ matrix).reshape_as(through)
        around = F.linear(around, of_around, linear.bias)
        return around + attended

    def _embed(self, rgb: Tensor, extra: Tensor) -> Tensor:
        """Two maps (B, C, h, w) to the fused map, without joining them."""
        embedding, channels = self.channel_emb, self.cross.channels
        layers: tuple[Any, ...] = tuple(embedding.channel_embed)
        reduce, depthwise, _, mix, norm = layers
        rgb_weight, extra_weight = torch.split(reduce.weight, channels, dim=1)
        reduced = F.conv2d(rgb, rgb_weight, reduce.bias) + F.conv2d(extra, extra_weight)
        rgb_weight, extra_weight = torch.split(embedding.residual.weight, channels, dim=1)
        residual = F.conv2d(rgb, rgb_weight) + F.conv2d(extra, extra_weight)
        fused: Tensor = embedding.norm(residual + norm(mix(torch.relu(depthwise(reduced)))))
        return fused


class OrtEncoder(MiTB2):
    """Rectification and fusion take channel-last maps."""

    def forward(self, rgb: Tensor, np: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `MiTB2.forward`."""
        check_images(rgb, np)
        image, extra, fused = rgb, np, []
        for stage, rectify, fuse in zip(STAGES, self.FRMs, self.FFMs, strict=True):
            grids = (self._grid("", stage, image), self._grid("extra_", stage, extra))
            image_grid, extra_grid = rectify(*grids)
            fused.append(fuse(image_grid, extra_grid))
            image, extra = to_maps(image_grid), to_maps(extra_grid)
        first, second, third, fourth = fused
        return first, second, third, fourth

    def _grid(self, branch: str, stage: int, maps: Tensor) -> Tensor:
        """One branch's maps (B, C_in, H, W) through one stage, to (B, h, w, C)."""
        return to_grid(self._stage(branch, stage, maps))


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


REWRITTEN: dict[type[nn.Module], type[nn.Module]] = {
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
