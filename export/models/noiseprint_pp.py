"""Noiseprint++: the DnCNN that draws a camera's traces out of an image (0.56 M parameters)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

BATCH_NORM_EPS = 1e-5


@dataclass(frozen=True)
class NoiseprintConfig:
    """Size of a DnCNN; the defaults are the published Noiseprint++.

    Attributes:
        depth: number of 3 x 3 convolutions, at least 2.
        width: channels between them.
        in_channels: channels of the image.
        out_channels: channels of the output.
    """

    depth: int = 17
    width: int = 64
    in_channels: int = 3
    out_channels: int = 1


class NoiseprintPP(nn.Sequential):
    """(B, 3, H, W), rgb / 256, to (B, 1, H, W): any range, any size from 1 x 1 up.

    One flat sequence, so that tensors are called ``0.weight``, ``0.bias``, ``2.weight``, ...
    Convolution with bias and ReLU; ``depth - 2`` times convolution without bias, BatchNorm and
    ReLU; convolution with bias. The receptive field is ``2 * depth + 1`` pixels a side (35).
    In evaluation mode from the start: BatchNorm uses its running statistics.
    """

    def __init__(self, config: NoiseprintConfig | None = None) -> None:
        config = config or NoiseprintConfig()
        width = config.width
        layers: list[nn.Module] = [
            nn.Conv2d(config.in_channels, width, 3, padding=1),
            nn.ReLU(),
        ]
        for _ in range(config.depth - 2):
            layers += [
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width, eps=BATCH_NORM_EPS),
                nn.ReLU(),
            ]
        layers.append(nn.Conv2d(width, config.out_channels, 3, padding=1))
        super().__init__(*layers)
        self.config = config
        self.eval().requires_grad_(False)
