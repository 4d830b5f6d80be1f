"""Quantise the convolutions that an error budget allows, by ONNX Runtime's own quantiser.

Which they are is measured for the weights at hand, on ``sample_dataset/``: some pictures calibrate,
others judge.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trufor_onnx.errors import ExportError
from trufor_onnx.export.graph.provenance import GraphProvenance, initializer_array
from trufor_onnx.export.networks.preprocess import read_image, to_input
from trufor_onnx.export.networks.spec import Preprocessing
from trufor_onnx.finding import images_below
from trufor_onnx.sessions import open_session

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

FOLDER = Path(__file__).resolve().parents[2] / "sample_dataset" / "real"
PICTURES = 4  # of each kind
EVERY = 3
CALIBRATE, JUDGE = 0, 1  # the first of every three pictures, and the second
SIDE = 96  # pixels; Noiseprint++ sees 35 x 35 of them at a time

Feeds = dict[str, npt.NDArray[Any]]
LEAST_CORRELATION = 0.999
LEAST_GAIN = 1.2
GAIN_OF_A_LAYER = 2.5  # of all layers quantised, on a processor with VNNI: docs/decisions/int8.md


NAME = "int8"


def picture_feeds(name: str, first: int, *, folder: Path = FOLDER) -> list[Feeds]:
    """The middle of every third picture, RGB / 256, as an input ``name`` (1, 3, SIDE, SIDE).

    Args:
        name: the network's input.
        first: `CALIBRATE` or `JUDGE`.
        folder: of the pictures.

    Raises:
        ExportError: there are not enough pictures.
    """
    few = ExportError(
        f"{folder} holds too few pictures to make a quantised file",
        hint="run in a checkout with sample_dataset/ (`make dataset` makes it)",
    )

    def refuse(error: OSError) -> None:
        raise few from error

    pictures = images_below(folder, refuse=refuse)[first::EVERY]
    if len(pictures) < PICTURES:
        raise few
    return [{name: to_input(_middle(p), Preprocessing())} for p in pictures[:PICTURES]]


def _middle(path: Path) -> npt.NDArray[np.uint8]:
    rgb = read_image(path).rgb
    top, left = ((side - SIDE) // 2 for side in rgb.shape[:2])
    return rgb[top : top + SIDE, left : left + SIDE]


@dataclass
class Quantiser:
    """Quantises chosen convolutions of one graph, and measures what that does.

    Attributes:
        proto: the float graph.
        calibration: inputs whose ranges become the scales.
        held_out: other inputs, by which the error is measured.
    """

    proto: onnx.ModelProto
    calibration: Sequence[Feeds]
    held_out: Sequence[Feeds]
    _ranges: Any = field(init=False)
    _expected: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        self._ranges = self._calibrated()
        self._expected = _run(self.proto, self.held_out)

    def quantised(self, names: Sequence[str]) -> onnx.ModelProto:
        """A graph with these convolutions in int8 (weights a channel, inputs a tensor)."""
        import onnx
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        copy = onnx.ModelProto()
        copy.CopyFrom(self.proto)
        quantizer = QDQQuantizer(
            copy,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self._ranges,
            nodes_to_quantize=list(names),
            nodes_to_exclude=[],
            op_types_to_quantize=["Conv"],
            extra_options={},
        )
        quantizer.quantize_model()
        made: onnx.ModelProto = quantizer.model.model
        return made

    def correlation(self, names: Sequence[str]) -> float:
        """The lowest correlation of an output with the float graph's; 0 where it is constant."""
        found = _run(self.quantised(names), self.held_out)
        return min(_correlation(a, b) for a, b in zip(found, self._expected, strict=True))

    def _calibrated(self) -> Any:
        from onnxruntime.quantization import CalibrationDataReader, create_calibrator

        class Reader(CalibrationDataReader):  # type: ignore[misc]  # it ships no types
            def __init__(self, feeds: Sequence[Feeds]) -> None:
                self.left = iter(feeds)

            def get_next(self) -> Feeds | None:
                return next(self.left, None)

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "float.onnx"
            path.write_bytes(self.proto.SerializeToString())
            calibrator = create_calibrator(
                path, ["Conv", "Relu"], augmented_model_path=str(Path(folder) / "augmented.onnx")
            )
            calibrator.collect_data(Reader(self.calibration))
            return calibrator.compute_data()


def choose(quantiser: Quantiser, costs: dict[str, int]) -> tuple[list[str], float]:
    """The layers to quantise, and the correlation that this leaves.

    Args:
        quantiser: of the graph.
        costs: multiply-adds a pixel, by convolution.

    Raises:
        ExportError: no set of layers within the budget is worth a file of its own.
    """
    alone = {name: quantiser.correlation([name]) for name in costs}
    chosen: list[str] = []
    correlation = 1.0
    for name in sorted(costs, key=lambda name: (-alone[name], name)):
        if alone[name] < LEAST_CORRELATION:
            break
        found = quantiser.correlation([*chosen, name])
        if found >= LEAST_CORRELATION:
            chosen.append(name)
            correlation = found
    share = sum(costs[name] for name in chosen) / sum(costs.values())
    gain = 1 / (1 - share + share / GAIN_OF_A_LAYER)
    if gain < LEAST_GAIN:
        worst = min(alone, key=lambda name: alone[name])
        raise ExportError(
            f"{len(chosen)} of {len(costs)} convolutions fit the error budget (correlation at "
            f"least {LEAST_CORRELATION} with float32, here {correlation:.5f}; {worst} alone leaves "
            f"{alone[worst]:.3f}): {share:.0%} of the work, a gain of {gain:.2f} at best",
            hint=f"not written, as it would not gain {LEAST_GAIN}: use --variant ort; "
            "docs/decisions/int8.md",
        )
    return [name for name in costs if name in chosen], correlation


def _run(proto: onnx.ModelProto, feeds: Sequence[Feeds]) -> list[Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = open_session(proto.SerializeToString(), options)
    return [session.run(None, given)[0] for given in feeds]


def _correlation(found: Any, expected: Any) -> float:
    centred = [array.ravel().astype(np.float64) - array.mean() for array in (found, expected)]
    norms = [float(np.sqrt(array @ array)) for array in centred]
    product = norms[0] * norms[1]
    return float(centred[0] @ centred[1]) / product if product > 0 else 0.0


def apply(model: ir.Model, provenance: GraphProvenance) -> int:
    """Quantise in place. Returns how many convolutions compute in 8 bits.

    Raises:
        ExportError: no set of layers within the budget is worth a file, or there are no pictures.
    """
    import onnx_ir as ir

    proto = ir.to_proto(model)
    name = str(model.graph.inputs[0].name)
    quantiser = Quantiser(proto, picture_feeds(name, CALIBRATE), picture_feeds(name, JUDGE))
    chosen, _ = choose(quantiser, multiply_adds(model))
    changed: ir.Model = ir.from_proto(quantiser.quantised(chosen))
    known = sorted(provenance.origins, key=len, reverse=True)
    for name in changed.graph.initializers:
        if name not in provenance.origins:
            parent = next((known_name for known_name in known if name.startswith(known_name)), "")
            if parent:
                provenance.derive(name, NAME, parent)
    for name in list(provenance.origins):  # weights that exist in 8 bits only
        if name not in changed.graph.initializers:
            del provenance.origins[name]
    changed.graph.sort()
    model.graph = changed.graph
    model.opset_imports.update(changed.opset_imports)
    provenance.forget_unused(model)
    return len(chosen)


def multiply_adds(model: ir.Model) -> dict[str, int]:
    """Multiply-adds a pixel of every convolution, by name, in the graph's order."""
    costs = {}
    for node in model.graph:
        weight = node.inputs[1] if node.op_type == "Conv" else None
        if weight is not None and weight.is_initializer():
            costs[str(node.name)] = int(initializer_array(weight).size)
    return costs
