"""The encoder: two MiT-B2 branches, rectified and fused after every stage (65.0 M parameters)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trufor_onnx.errors import ExportError
from trufor_onnx.export.models.attention import BLOCK_NORM_EPS, Block, PatchEmbedding, to_maps
from trufor_onnx.export.models.fusion import FeatureFusion, FeatureRectification

STAGES = (1, 2, 3, 4)
MIN_SIZE = 32  # pixels a side; the arithmetic itself ends at 29 (an 8 x 8 grid in stage 1)


class InputShapeError(ExportError):
    """An input that the network is not made for."""


@dataclass(frozen=True)
class EncoderConfig:
    """Size of a two-branch encoder of four stages; the defaults are MiT-B2.

    Attributes:
        channels: C of each stage, a multiple of its heads.
        depths: blocks of each stage.
        heads: attention heads of each stage, in the blocks and in the fusion.
        reductions: side of the window from which a stage's keys and values come; 1: none.
    """

    channels: tuple[int, int, int, int] = (64, 128, 320, 512)
    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    heads: tuple[int, int, int, int] = (1, 2, 5, 8)
    reductions: tuple[int, int, int, int] = (8, 4, 2, 1)


class MiTB2(nn.Module):
    """Image and Noiseprint++ to four fused maps at strides 4, 8, 16 and 32 (sizes round up).

    Tensors are called as in the published checkpoint: ``patch_embed1..4``, ``block1..4``,
    ``norm1..4``, the same with ``extra_`` before it for the second branch, ``FRMs.i``, ``FFMs.i``.
    """

    def __init__(self, config: EncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EncoderConfig()
        for branch in ("", "extra_"):
            channels_in = 3
            for stage, channels in zip(STAGES, config.channels, strict=True):
                kernel, stride = (7, 4) if stage == 1 else (3, 2)
                embedding = PatchEmbedding(channels_in, channels, kernel=kernel, stride=stride)
                self.add_module(f"{branch}patch_embed{stage}", embedding)
                channels_in = channels
        sizes = zip(config.channels, config.depths, config.heads, config.reductions, strict=True)
        for stage, (channels, depth, heads, reduction) in zip(STAGES, sizes, strict=True):
            for branch in ("", "extra_"):
                blocks = [Block(channels, heads=heads, reduction=reduction) for _ in range(depth)]
                self.add_module(f"{branch}block{stage}", nn.ModuleList(blocks))
                norm = nn.LayerNorm(channels, eps=BLOCK_NORM_EPS)
                self.add_module(f"{branch}norm{stage}", norm)
        self.FRMs = nn.ModuleList(FeatureRectification(channels) for channels in config.channels)
        self.FFMs = nn.ModuleList(
            FeatureFusion(channels, heads=heads)
            for channels, heads in zip(config.channels, config.heads, strict=True)
        )
        self.eval().requires_grad_(False)

    def _stage(self, branch: str, stage: int, maps: Tensor) -> Tensor:
        """One branch's maps (B, C_in, H, W) through one stage, to (B, C, h, w)."""
        grid = self.get_submodule(f"{branch}patch_embed{stage}")(maps)
        blocks = self.get_submodule(f"{branch}block{stage}")
        assert isinstance(blocks, nn.ModuleList)
        for block in blocks:
            grid = block(grid)
        return to_maps(self.get_submodule(f"{branch}norm{stage}")(grid))

    def forward(self, rgb: Tensor, np: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Both inputs to the four fused maps.

        Args:
            rgb: (B, 3, H, W), the image, normalised by mean and standard deviation.
            np: (B, 3, H, W), the Noiseprint++ map repeated to three channels, not normalised.

        Returns:
            ``fused_0..3``, each (B, C_i, h_i, w_i).

        Raises:
            InputShapeError: shapes differ, or a side is below 32 pixels.
        """
        check_images(rgb, np)
        image, extra, fused = rgb, np, []
        for stage, rectify, fuse in zip(STAGES, self.FRMs, self.FFMs, strict=True):
            image, extra = rectify(
                self._stage("", stage, image), self._stage("extra_", stage, extra)
            )
            fused.append(fuse(image, extra))
        first, second, third, fourth = fused
        return first, second, third, fourth


def check_images(image: Tensor, extra: Tensor | None = None, *, one_channel: bool = False) -> None:
    """Refuse inputs that are not equally shaped batches of three-channel images of a fair size.

    Does nothing while a graph is being recorded: a recorded check would bind the graph to the
    sizes of its example.

    Args:
        image: (B, 3, H, W) with H and W at least ``MIN_SIZE``.
        extra: the second input, of the same shape, where the network has one.
        one_channel: ``extra`` may be (B, 1, H, W) too.

    Raises:
        InputShapeError: says which shape came and what the least is.
    """
    # torch leaves is_tracing without types.
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if tracing or torch.compiler.is_compiling():
        return
    shape = tuple(image.shape)
    extra_shape = shape if extra is None else tuple(extra.shape)
    shown = f"{shape}" if extra is None else f"{shape} and {extra_shape}"
    if one_channel and len(extra_shape) == 4 and extra_shape[1] == 1:
        extra_shape = (extra_shape[0], 3, *extra_shape[2:])
    if len(shape) != 4 or shape[1] != 3 or extra_shape != shape:
        raise InputShapeError(
            f"the network takes (B, 3, H, W), the same for all its inputs; got {shown}",
            hint="stack images of one size; repeat a one-channel map to three channels",
        )
    if min(shape[2:]) < MIN_SIZE:
        height, width = shape[2:]
        raise InputShapeError(
            f"an image of {height} x {width} pixels is too small: "
            f"the least is {MIN_SIZE} x {MIN_SIZE}",
            hint="use a larger crop; enlarging an image destroys the traces that are looked for",
        )
