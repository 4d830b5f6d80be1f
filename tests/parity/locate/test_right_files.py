"""Right files of other exporters have no fault; what differs at the ends is named there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from tests.parity.locate.conftest import Array, rename, scale_one, set_weight
from trufor_onnx.export.lock import METADATA_KEY
from trufor_onnx.parity.locate.results import Located

Planted = Callable[..., Located]


def under_the_old_name(proto: onnx.ModelProto) -> None:
    """As torch's default exporter leaves a folded BatchNorm: no record, the layer's own name."""
    kept = [entry for entry in proto.metadata_props if entry.key != METADATA_KEY]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    for name in [tensor.name for tensor in proto.graph.initializer]:
        if name.endswith("folded_weight"):
            rename(proto, name, name.replace("folded_weight", "weight"))
        elif name.endswith("folded_bias"):
            rename(proto, name, name.replace("folded_bias", "weight_bias"))


def before(proto: onnx.ModelProto, *nodes: tuple[str, object]) -> None:
    """Nodes between the input and what reads it, each with one constant (or none)."""
    name = proto.graph.input[0].name
    made = []
    read = name
    for index, (kind, constant) in enumerate(nodes):
        inputs, given = [read], f"planted_{index}"
        if constant is not None:
            array = np.asarray(constant)
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array, f"{given}_constant"))
            inputs.append(f"{given}_constant")
        attributes = {"axis": 1} if kind == "Gather" else {}
        made.append(onnx.helper.make_node(kind, inputs, [given], **attributes))
        read = given
    for node in proto.graph.node:
        node.input[:] = [read if one == name else one for one in node.input]
    for node in reversed(made):
        proto.graph.node.insert(0, node)


def after(proto: onnx.ModelProto, kind: str, constant: object = None) -> None:
    """A node more, behind the output."""
    name = proto.graph.output[0].name
    for node in proto.graph.node:
        node.output[:] = ["planted_before" if one == name else one for one in node.output]
        node.input[:] = ["planted_before" if one == name else one for one in node.input]
    inputs = ["planted_before"]
    if constant is not None:
        array = np.asarray(constant)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, "planted_constant"))
        inputs.append("planted_constant")
    proto.graph.node.append(onnx.helper.make_node(kind, inputs, [name]))


def test_a_batch_norm_folded_under_the_old_name_is_no_fault(planted: Planted) -> None:
    found = planted("tiny_np", under_the_old_name)
    assert found.faults == []
    assert found.origins["scaled channels"] > 0


def test_a_fault_in_it_is_one(planted: Planted) -> None:
    def change(proto: onnx.ModelProto) -> None:
        under_the_old_name(proto)
        set_weight(proto, "2.weight", second_channel)

    def second_channel(array: Array) -> Array:
        array[1] *= np.float32(1.01)
        return array

    found = planted("tiny_np", change)
    assert [part.name for part in found.faults] == ["2 + 3"]


MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1)
STD = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1)
ORDER = np.array([2, 1, 0])
INPUTS = {
    "256/255": ([("Mul", np.float32(256 / 255))], "x 1.00392 = 256/255"),
    "BGR": ([("Gather", ORDER)], "BGR"),
    "normalised": ([("Sub", MEAN), ("Div", STD)], "normalised once more, with ImageNet's"),
    "not divided": ([("Mul", np.float32(256))], "pixels not divided by 256"),
}


@pytest.mark.parametrize("what", INPUTS)
def test_a_difference_before_the_first_layer_is_the_inputs(what: str, planted: Planted) -> None:
    nodes, words = INPUTS[what]
    found = planted("tiny_np", lambda proto: before(proto, *nodes))
    assert [part.name for part in found.faults] == ["the input"]
    assert found.sentence().startswith("the input creates the error: ")
    assert words in found.sentence()


def test_an_input_of_another_type_is_said(planted: Planted) -> None:
    def change(proto: onnx.ModelProto) -> None:
        before(proto, ("Div", np.float32(256)))
        kind = onnx.TensorProto.UINT8
        proto.graph.input[0].type.tensor_type.elem_type = kind
        cast = onnx.helper.make_node("Cast", [proto.graph.input[0].name], ["planted_cast"], to=1)
        proto.graph.node[0].input[0] = "planted_cast"
        proto.graph.node.insert(0, cast)

    found = planted("tiny_np", change)
    assert [part.name for part in found.faults] == ["the input"]
    assert found.sentence().startswith(
        "the input differs: it takes uint8 pixels, the network float32."
    )


@pytest.mark.parametrize(
    ("kind", "constant", "words"),
    [("Mul", np.float32(0.5), ": x 0.5"), ("Sigmoid", None, "in the file Sigmoid")],
)
def test_a_difference_after_the_last_layer(
    kind: str, constant: object, words: str, planted: Planted
) -> None:
    found = planted("tiny_np", lambda proto: after(proto, kind, constant))
    assert [part.place for part in found.faults] == ["output"]
    assert ", after the last layer, creates the error: " in found.sentence()
    assert words in found.sentence()


def test_one_weight_that_no_output_shows_is_named(planted: Planted) -> None:
    def change(proto: onnx.ModelProto) -> None:
        # What 0.1 % is in a larger layer.
        set_weight(proto, "5.weight", lambda array: scale_one(array, 1.00002))

    found = planted("tiny_np", change)
    assert max(found.outputs.values()) < 1e-4  # as of a sound file
    assert [(part.name, part.ratio < 8.0) for part in found.faults] == [("5", True)]
    assert "x 1.00002" in found.sentence()


def test_an_epsilon_that_no_output_shows_is_named(planted: Planted) -> None:
    """Where the variance is large, the numbers are within rounding: the epsilon itself is read."""

    def change(proto: onnx.ModelProto) -> None:
        node = next(n for n in proto.graph.node if n.op_type == "LayerNormalization")
        attribute = next(a for a in node.attribute if a.name == "epsilon")
        attribute.f *= 1.01

    found = planted("tiny_mit", change)
    assert len(found.faults) == 1
    assert found.faults[0].ratio < 8.0
    assert "epsilon" in found.sentence() and " in the network" in found.sentence()
