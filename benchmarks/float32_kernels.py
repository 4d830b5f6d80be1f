"""How far PyTorch's float32 kernels and ONNX files are from float64, on this processor.

Usage: python benchmarks/float32_kernels.py [--weights FILE] [--images WHERE] [--max-images N]
           [--pixel-scale 255] [--onnx FILE ...]

Prints, for Noiseprint++, the mean over the images of the mean absolute error against the float64
network (and of the ONNX files also against each PyTorch kernel): oneDNN's convolutions, PyTorch's
own, our export of the same weights, and every file named with --onnx. docs/decisions/
float32-yardstick.md was made with it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from trufor_onnx.export.build import export_model
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.inputs.feeds import make_feeds
from trufor_onnx.parity.inputs.image_sets import find_images
from trufor_onnx.parity.results.environment import processor
from trufor_onnx.parity.results.metrics import mean_absolute_error
from trufor_onnx.parity.runners.base import Runner
from trufor_onnx.parity.runners.onnxruntime_runner import OnnxRuntimeRunner
from trufor_onnx.parity.runners.providers import parse_providers
from trufor_onnx.parity.runners.torch_runner import NATIVE, ONEDNN, TorchRunner

OUTPUT = "noiseprint"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--images", type=Path, default=Path("sample_dataset"))
    parser.add_argument("--max-images", type=int)
    parser.add_argument("--pixel-scale", type=float, default=256.0)
    parser.add_argument("--onnx", type=Path, nargs="*", default=[], metavar="FILE")
    args = parser.parse_args()
    spec = find("noiseprint_pp")
    source = WeightsSource(args.weights)
    weights = source.weights_for(spec, spec.build())
    preprocessing = replace(spec.preprocessing, scale=args.pixel_scale)
    (cpu,) = parse_providers("cpu")
    kernels = {
        f"torch float32, {kernel}": TorchRunner(spec, weights, precision=32, kernel=kernel)
        for kernel in (ONEDNN, NATIVE)
    }
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        ours = export_model(spec, source, Path(folder)).path
        files = {"our export": ours} | {str(path.name): path for path in args.onnx}
        candidates = {name: OnnxRuntimeRunner(path, cpu) for name, path in files.items()}
        reference = TorchRunner(spec, weights, precision=64)
        runners: dict[str, Runner] = {**kernels, **candidates}
        for picture in find_images(args.images, most=args.max_images):
            feeds = make_feeds(spec, picture.load()[0][np.newaxis], preprocessing)
            expected = reference.run(feeds)[OUTPUT]
            found = {name: runner.run(feeds)[OUTPUT] for name, runner in runners.items()}
            for name, array in found.items():
                errors[name, "float64"].append(mean_absolute_error(array, expected))
                for kernel in kernels:
                    errors[name, kernel].append(mean_absolute_error(array, found[kernel]))
            each = ", ".join(f"{name} {errors[name, 'float64'][-1]:.3e}" for name in runners)
            print(f"{picture.name}: to float64 {each}", flush=True)
    count = len(errors["our export", "float64"])
    instructions = torch.backends.cpu.get_cpu_capability()
    print(
        f"{processor()}, {instructions}, {torch.get_num_threads()} threads; torch "
        f"{torch.__version__}; {weights.label}; {count} images / {args.pixel_scale:g}"
    )
    columns = ("float64", *kernels)
    print(f"{'mean MAE of':24}" + "".join(f"{'to ' + column:>26}" for column in columns))
    for name in runners:
        figures = [statistics.fmean(errors[name, column]) for column in columns]
        print(f"{name:24}" + "".join(f"{figure:26.3e}" for figure in figures))


if __name__ == "__main__":
    main()
