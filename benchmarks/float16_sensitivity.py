"""Which parts of a network may be rounded to float16: each kept in float32 in turn.

    python benchmarks/float16_sensitivity.py --model mit_b2 --folder FOLDER --size 160

ONNX Runtime's CPU kernels leave out the roundings between two float16 operators, so a float16 file
looks better there than it is on a GPU. Here the graph stays float32, and behind every operator that
would be float16 its output is rounded to float16 and back (on GPUs a product is summed in float32
and rounded once, too). FOLDER holds the portable file. Prints, for each choice of what is kept in
float32, the error against the portable file: mean, worst, and correlation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime
from onnx_ir.passes.common import ShapeInferencePass
from variants import picture_feeds

from trufor_onnx.export.graph.provenance import initializer_array
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.transforms.float16 import KEPT_OPERATORS, KEPT_SCOPES, half_nodes
from trufor_onnx.export.variants import file_stem

NORMS = {"LayerNormalization"}
SUMS = {"ReduceMean", "ReduceSum", "ReduceMax"}
ANSWERS = {"Exp", "Log", "Softplus", "Sigmoid"}
SCOPES = set(KEPT_SCOPES)
CHOICES: dict[str, tuple[set[str], set[str]]] = {
    "as exported": (set(KEPT_OPERATORS), SCOPES),
    "nothing kept": (set(), set()),
    "all but norms": (set(KEPT_OPERATORS) - NORMS, SCOPES),
    "all but softmax": (set(KEPT_OPERATORS) - {"Softmax"}, SCOPES),
    "all but reductions": (set(KEPT_OPERATORS) - SUMS, SCOPES),
    "all but exp, log, sigmoid": (set(KEPT_OPERATORS) - ANSWERS, SCOPES),
    "all but channel weights": (set(KEPT_OPERATORS), SCOPES - {"/channel_weights/"}),
    "all but cross attention": (set(KEPT_OPERATORS), SCOPES - {"/cross_attn/"}),
    "and the blocks' sums": (set(KEPT_OPERATORS) | {"Add"}, SCOPES),
    "and rectification": (set(KEPT_OPERATORS), SCOPES | {"/FRMs."}),
    "and fusion": (set(KEPT_OPERATORS), SCOPES | {"/FFMs."}),
    "and self-attention": (set(KEPT_OPERATORS), SCOPES | {"/attn/"}),
    "and feed-forward": (set(KEPT_OPERATORS), SCOPES | {"/mlp/"}),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mit_b2")
    parser.add_argument("--folder", type=Path, default=Path("onnx_models"))
    parser.add_argument("--size", type=int, default=160)
    args = parser.parse_args()
    path = args.folder / f"{file_stem(find(args.model))}.onnx"
    feeds = picture_feeds(args.model, args.size, args.size)
    expected = run(path.read_bytes(), feeds)
    print(f"{args.model}, {args.size} x {args.size}: mean and worst error, lowest correlation")
    for name, (operators, scopes) in CHOICES.items():
        found = run(simulated(path, operators, scopes), feeds)
        errors = [np.abs(one - other) for one, other in zip(found, expected, strict=True)]
        correlation = min(
            np.corrcoef(one.ravel(), other.ravel())[0, 1] if one.size > 1 else 1.0
            for one, other in zip(found, expected, strict=True)
        )
        means = " ".join(f"{error.mean():.2e}" for error in errors)
        worst = max(float(error.max()) for error in errors)
        print(f"{name:28} {means}  {worst:.2e}  {correlation:.6f}", flush=True)


def simulated(path: Path, operators: set[str], scopes: set[str]) -> bytes:
    """The file with every result that would be float16 rounded to it."""
    model = ir.load(path)
    ShapeInferencePass()(model)
    nodes = half_nodes(model, operators, scopes, statements=bool(operators))  # "nothing kept"
    outputs = {id(output) for output in model.graph.outputs}
    for node in nodes.values():
        for value in node.inputs:
            if value is not None and value.is_initializer() and value.dtype == ir.DataType.FLOAT:
                array = initializer_array(value).astype(np.float16).astype(np.float32)
                value.const_value = ir.Tensor(array, name=value.name)
        for output in node.outputs:
            if id(output) in outputs:
                continue
            to_half = ir.node("Cast", [output], attributes={"to": int(ir.DataType.FLOAT16)})
            back = ir.node("Cast", to_half.outputs, attributes={"to": int(ir.DataType.FLOAT)})
            to_half.outputs[0].name, back.outputs[0].name = f"{output.name}.h", f"{output.name}.b"
            ir.convenience.replace_all_uses_with(output, back.outputs[0])
            to_half.replace_input_with(0, output)
            model.graph.insert_after(node, [to_half, back])
    return ir.to_proto(model).SerializeToString()


def run(data: bytes, feeds: dict[str, npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float64]]:
    """The outputs, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return [output.astype(np.float64) for output in session.run(None, feeds)]


if __name__ == "__main__":
    main()
