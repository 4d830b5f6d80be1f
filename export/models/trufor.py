"""TruFor, whole: Noiseprint++, encoder, two decoders and the score (68.7 M parameters).

Source: Guillaro et al., CVPR 2023 (TruFor), as described in ``docs/networks.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trufor_onnx.export.models.decoder import Decoder, resize, score_features
from trufor_onnx.export.models.mit_b2 import EncoderConfig, MiTB2, check_images
from trufor_onnx.export.models.noiseprint_pp import NoiseprintConfig, NoiseprintPP

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LOCALIZATION_BATCH_NORM_EPS = 1e-3
CONFIDENCE_BATCH_NORM_EPS = 1e-5
PRISTINE, FORGED = 0, 1  # channels of the localization logits


@dataclass(frozen=True)
class TruForConfig:
    """Size of a TruFor network; the defaults are the published one.

    Attributes:
        noiseprint: size of Noiseprint++.
        encoder: size of the encoder.
        decoder_width: channels inside each decoder.
        score_width: hidden units of the score.
    """

    noiseprint: NoiseprintConfig = field(default_factory=NoiseprintConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder_width: int = 512
    score_width: int = 128


class Logits(NamedTuple):
    """What the network says before any sigmoid; any range.

    Attributes:
        localization: (B, 2, H, W), pristine and forged.
        confidence: (B, 1, H, W).
        detection: (B, 1).
    """

    localization: Tensor
    confidence: Tensor
    detection: Tensor


def _three_channels(noiseprint: Tensor) -> Tensor:
    """(B, 1, H, W) to (B, 3, H, W). A concatenation: recorded, an ``expand`` is six nodes."""
    return torch.cat([noiseprint, noiseprint, noiseprint], dim=1)


class _Detector(nn.Module):
    """All of TruFor behind Noiseprint++: what `TruFor` and `TruForHead` share."""

    def __init__(self, config: TruForConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TruForConfig()
        channels, width = config.encoder.channels, config.decoder_width
        self.backbone = MiTB2(config.encoder)
        self.decode_head = Decoder(
            channels, width=width, classes=2, batch_norm_eps=LOCALIZATION_BATCH_NORM_EPS
        )
        self.decode_head_conf = Decoder(
            channels, width=width, classes=1, batch_norm_eps=CONFIDENCE_BATCH_NORM_EPS
        )
        self.detection = nn.Sequential(
            nn.Linear(8, config.score_width),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(config.score_width, 1),
        )
        # Neither parameters nor buffers: they are in no checkpoint, and `.float().double()` must
        # not round them. Kept off the "meta" device, on which networks may be built.
        self._mean = torch.tensor(MEAN, dtype=torch.float64, device="cpu").reshape(3, 1, 1)
        self._std = torch.tensor(STD, dtype=torch.float64, device="cpu").reshape(3, 1, 1)
        self.eval().requires_grad_(False)

    def normalised(self, image: Tensor) -> Tensor:
        """``(image - mean) / std`` a channel: (B, 3, H, W) in [0, 1) to about -2.1..2.7."""
        mean = self._mean.to(dtype=image.dtype, device=image.device)
        std = self._std.to(dtype=image.dtype, device=image.device)
        return (image - mean) / std

    def _logits(self, image: Tensor, np: Tensor) -> Logits:
        """Image (B, 3, H, W) in [0, 1) and Noiseprint++ (B, 3, H, W) to all logits."""
        fused = self.backbone(self.normalised(image), np)
        localization = resize(self.decode_head(fused), image)
        confidence = resize(self.decode_head_conf(fused), image)
        evidence = localization[:, FORGED] - localization[:, PRISTINE]
        features = score_features(confidence[:, 0], evidence)
        return Logits(localization, confidence, self.detection(features))

    def _answers(self, image: Tensor, np: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs as above to ``map`` (B, H, W), ``conf`` (B, H, W) and ``score`` (B,), in 0..1."""
        logits = self._logits(image, np)
        # The softmax of two numbers is the sigmoid of their difference.
        evidence = logits.localization[:, FORGED] - logits.localization[:, PRISTINE]
        conf = torch.sigmoid(logits.confidence[:, 0])
        return torch.sigmoid(evidence), conf, torch.sigmoid(logits.detection[:, 0])


class TruForHead(_Detector):
    """TruFor for a caller who brings the Noiseprint++ map, computed by tiles for instance.

    Its tensors are called as in `TruFor`; there is no ``dncnn``.
    """

    def logits(self, image: Tensor, np: Tensor) -> Logits:
        """The logits for inputs as `forward` takes them."""
        check_images(image, np, one_channel=True)
        return self._logits(image, np.expand(-1, 3, -1, -1))

    def forward(self, image: Tensor, np: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Image and Noiseprint++ to what users get.

        Args:
            image: (B, 3, H, W), rgb / 256, in [0, 1).
            np: (B, 1, H, W), the Noiseprint++ map, or (B, 3, H, W), the same repeated.

        Returns:
            ``map`` (B, H, W), ``conf`` (B, H, W) and ``score`` (B,), all in 0..1.

        Raises:
            InputShapeError: shapes differ, or a side is below 32 pixels.
        """
        check_images(image, np, one_channel=True)
        return self._answers(image, np.expand(-1, 3, -1, -1))


class TruFor(_Detector):
    """The whole detector, from the image alone."""

    def __init__(self, config: TruForConfig | None = None) -> None:
        super().__init__(config)
        self.dncnn = NoiseprintPP(self.config.noiseprint)

    def logits(self, image: Tensor) -> Logits:
        """The logits for an image as `forward` takes it."""
        check_images(image)
        return self._logits(image, _three_channels(self.dncnn(image)))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Image to what users get.

        Args:
            image: (B, 3, H, W), rgb / 256, in [0, 1).

        Returns:
            ``map`` (B, H, W), ``conf`` (B, H, W) and ``score`` (B,), all in 0..1, and
            ``noiseprint`` (B, 1, H, W).

        Raises:
            InputShapeError: not three channels, or a side is below 32 pixels.
        """
        check_images(image)
        noiseprint = self.dncnn(image)
        answers = self._answers(image, _three_channels(noiseprint))
        return *answers, noiseprint
