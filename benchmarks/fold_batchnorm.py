"""What folding BatchNorm in float64 is worth: error against float64, with and without.

Usage: python benchmarks/fold_batchnorm.py [--weights FILE] [--images DIR] [--max-images N]

Prints, for Noiseprint++, the mean absolute error against the float64 network over the images:
PyTorch float32, the exported file, and the same file without the fold (ONNX Runtime then folds
by itself, in float32).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np

from trufor_onnx.export.graph.finish import attach, provenance_document, to_checked_proto
from trufor_onnx.export.graph.trace import DEFAULT_OPSET, trace
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.transforms import clean, fold_batchnorm, simplify
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.inputs.feeds import make_feeds
from trufor_onnx.parity.inputs.image_sets import find_images
from trufor_onnx.parity.results.metrics import mean_absolute_error
from trufor_onnx.parity.runners.onnxruntime_runner import OnnxRuntimeRunner
from trufor_onnx.parity.runners.providers import parse_providers
from trufor_onnx.parity.runners.torch_runner import TorchRunner

OUTPUT = "noiseprint"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--images", type=Path, default=Path("sample_dataset"))
    parser.add_argument("--max-images", type=int)
    args = parser.parse_args()
    spec = find("noiseprint_pp")
    weights = WeightsSource(args.weights).weights_for(spec, spec.build())
    pipelines = {
        "onnxruntime, folded in float64": (clean, fold_batchnorm, simplify, clean),
        "onnxruntime, not folded by us": (clean, simplify, clean),
    }
    with tempfile.TemporaryDirectory() as folder:
        runners = {"torch float32": TorchRunner(spec, weights, precision=32)}
        for number, (name, transforms) in enumerate(pipelines.items()):
            module = spec.build()
            model, provenance = attach(trace(spec, module, DEFAULT_OPSET), spec, weights)
            for transform in transforms:
                transform.apply(model, provenance)
            document = provenance_document(
                model, spec, weights, provenance, variant="benchmark", transforms={}
            )
            path = Path(folder) / f"{number}.onnx"
            path.write_bytes(to_checked_proto(model, spec, document).SerializeToString())
            runners[name] = OnnxRuntimeRunner(path, parse_providers("cpu")[0])
        reference = TorchRunner(spec, weights, precision=64)
        errors: dict[str, list[float]] = {name: [] for name in runners}
        for picture in find_images(args.images, most=args.max_images):
            feeds = make_feeds(spec, picture.load()[0][np.newaxis], spec.preprocessing)
            expected = reference.run(feeds)[OUTPUT]
            for name, runner in runners.items():
                errors[name].append(mean_absolute_error(runner.run(feeds)[OUTPUT], expected))
    source = statistics.fmean(errors["torch float32"])
    print(f"{weights.label}, {len(errors['torch float32'])} images")
    for name, found in errors.items():
        mean = statistics.fmean(found)
        print(f"{name:32} mean MAE to float64 {mean:.3e}, {mean / source:.3f} of torch float32's")


if __name__ == "__main__":
    main()
