"""How exact the eight numbers behind a file's score are, by size: sums over all pixels.

Usage: python benchmarks/score_sums.py FILE [FILE ...] [--sizes 1024 2048]

Each FILE is an exported ``trufor_head``, variant ``ort``. Its own two logit maps, which ONNX
Runtime gives beside the numbers, are summed in float64 here: nothing but the sums is measured.
docs/decisions/sums-by-rows.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from variants import picture_feeds

from trufor_onnx.export.models.decoder import score_features

MODEL = "trufor_head"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--sizes", nargs="+", type=int, default=[1024, 2048])
    args = parser.parse_args()
    for path in args.files:
        proto = onnx.load(path)
        names = [_logits(proto, "conf"), _logits(proto, "map"), _features(proto)]
        for name in names:
            proto.graph.output.append(
                onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            )
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        for side in args.sizes:
            confidence, evidence, found = session.run(names, picture_feeds(MODEL, side, side))
            exact = score_features(_maps(confidence, side), _maps(evidence, side)).numpy()
            worst = float(np.abs(found - exact).max())
            print(f"{path.name}, {side} x {side}: worst of the eight numbers {worst:.1e}")


def _maps(array: npt.NDArray[np.float32], side: int) -> torch.Tensor:
    return torch.from_numpy(array).double().reshape(1, side, side)


def _logits(proto: onnx.ModelProto, output: str) -> str:
    """What an output is the sigmoid of."""
    producers = {name: node for node in proto.graph.node for name in node.output}
    node = producers[output]
    while node.op_type != "Sigmoid":
        node = producers[node.input[0]]
    return str(node.input[0])


def _features(proto: onnx.ModelProto) -> str:
    """What the first layer of the score reads."""
    readers = (n for n in proto.graph.node if any("detection.0.weight" in i for i in n.input))
    return str(next(readers).input[0])


if __name__ == "__main__":
    main()
