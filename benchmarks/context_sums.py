"""What the sums behind the cross attention's contexts cost in accuracy, alone.

Usage: python benchmarks/context_sums.py [--images sample_dataset/real] [--most 8] [--side 256]

The encoder runs in float64, but for the products and sums over all pixels, which are float32: as
the network is written, and in two parts as exported files add them up (`export.models.rewriting`).
Beside it the whole encoder in PyTorch float32. Stand-in weights. docs/decisions/context-sums.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from trufor_onnx.export.models.fusion import CrossAttention
from trufor_onnx.export.models.rewriting import PortableCrossAttention
from trufor_onnx.export.networks.preprocess import read_image
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.inputs.cases import fit
from trufor_onnx.parity.inputs.feeds import make_feeds
from trufor_onnx.parity.inputs.image_sets import find_images
from trufor_onnx.parity.runners.torch_runner import TorchRunner

MODEL, EXTRACTOR = "mit_b2", "noiseprint_pp"
Sum = Callable[[CrossAttention, torch.Tensor], torch.Tensor]
WAYS = {"row by row": CrossAttention, "two parts": PortableCrossAttention}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, default=Path("sample_dataset/real"))
    parser.add_argument("--most", type=int, default=8)
    parser.add_argument("--side", type=int, default=256)
    args = parser.parse_args()
    errors: dict[str, list[list[float]]] = {}
    with (
        _runner(EXTRACTOR, 64) as noise,
        _runner(MODEL, 64) as double,
        _runner(MODEL, 32) as single,
    ):
        for picture in find_images(args.images, most=args.most):
            pixels = fit(read_image(picture.path).rgb, (args.side, args.side))[None]
            feeds = make_feeds(find(MODEL), pixels, find(MODEL).preprocessing, _second(noise))
            reference = double.run(feeds)
            ways = {"PyTorch float32, all of it": single.run(feeds)}
            for name, sums in WAYS.items():
                ways[f"sums in float32, {name}"] = _with_float32_sums(double, feeds, sums._scores)
            for way, outputs in ways.items():
                maes = [float(np.abs(outputs[n] - reference[n]).mean()) for n in reference]
                errors.setdefault(way, []).append(maes)
    print(f"mean absolute error of fused_0..3, {args.side} x {args.side}: mean, and worst picture")
    for way, rows in errors.items():
        mean, worst = np.mean(rows, 0), np.max(rows, 0)
        print(f"{way:34s}", *(f"{a:.1e} ({b:.1e})" for a, b in zip(mean, worst, strict=True)))


def _with_float32_sums(runner: TorchRunner, feeds: dict, scores: Sum) -> dict:
    kept = CrossAttention._context

    def context(self: CrossAttention, keys_values: torch.Tensor) -> torch.Tensor:
        rows = keys_values.reshape(*keys_values.shape[:3], 2 * self.heads, self.head_size)
        key, value = torch.split(rows.permute(0, 3, 1, 2, 4).float(), self.heads, dim=1)
        found = scores(self, key.transpose(-2, -1) @ value).double()
        return torch.softmax(found * self.head_size**-0.5, dim=-2)

    CrossAttention._context = context
    try:
        return runner.run(feeds)
    finally:
        CrossAttention._context = kept


def _runner(name: str, precision: int) -> TorchRunner:
    spec = find(name)
    weights = WeightsSource(stand_in="golden").weights_for(spec, spec.build())
    return TorchRunner(spec, weights, precision=precision)


def _second(noise: TorchRunner) -> Callable:
    spec = find(EXTRACTOR)

    def compute(pixels: np.ndarray) -> np.ndarray:
        return noise.run(make_feeds(spec, pixels, spec.preprocessing))["noiseprint"]

    return compute


if __name__ == "__main__":
    main()
