"""Every way in which an ONNX file's outputs can be wrong, through the command line: exit 1 or 2."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

Change = Callable[[onnx.ModelProto], None]


def behind(op: str, *, output: str = "", **attributes: Any) -> Change:
    """Put one more operator between the network and an output (the first, if not named)."""

    def change(proto: onnx.ModelProto) -> None:
        name = output or proto.graph.output[0].name
        for node in proto.graph.node:
            node.output[:] = [f"{one}_before" if one == name else one for one in node.output]
            node.input[:] = [f"{one}_before" if one == name else one for one in node.input]
        constants = {
            key: value for key, value in attributes.items() if isinstance(value, np.ndarray)
        }
        rest = {key: value for key, value in attributes.items() if key not in constants}
        proto.graph.initializer.extend(
            onnx.numpy_helper.from_array(array, f"extra_{key}") for key, array in constants.items()
        )
        inputs = [f"{name}_before", *(f"extra_{key}" for key in constants)]
        proto.graph.node.append(helper.make_node(op, inputs, [name], **rest))
        value = next(value for value in proto.graph.output if value.name == name)
        value.type.tensor_type.ClearField("shape")
        if op == "Cast":
            value.type.tensor_type.elem_type = rest["to"]

    return change


def spoiled(value: float) -> Change:
    """One pixel of the output becomes ``value``; all others stay as they are."""

    def change(proto: onnx.ModelProto) -> None:
        name = proto.graph.output[0].name
        behind("ScatterND", at=np.zeros((1, 4), np.int64), to=np.array([value], np.float32))(proto)
        assert proto.graph.output[0].name == name

    return change


def renamed(proto: onnx.ModelProto) -> None:
    for node in proto.graph.node:
        node.output[:] = ["Noiseprint" if one == "noiseprint" else one for one in node.output]
    proto.graph.output[0].name = "Noiseprint"


def extra(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(helper.make_node("Identity", ["noiseprint"], ["more"]))
    proto.graph.output.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, None))


def without_score(proto: onnx.ModelProto) -> None:
    kept = [value for value in proto.graph.output if value.name != "score"]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)


def slightly_off(proto: onnx.ModelProto) -> None:
    behind("Add", by=np.array(1e-3, np.float32))(proto)


CHANGES = {
    "NaN": (spoiled(np.nan), "1 of .* values are NaN or infinite"),
    "infinite": (spoiled(np.inf), "1 of .* values are NaN or infinite"),
    "minus infinite": (spoiled(-np.inf), "1 of .* values are NaN or infinite"),
    "renamed": (renamed, "the output is missing|an output that the network does not have"),
    "an output too many": (extra, "an output that the network does not have"),
    "transposed": (behind("Transpose", perm=[0, 1, 3, 2]), "mae .* is over|shape"),
    "an axis less": (behind("Squeeze", axes=np.array([1])), r"shape \(1, 48, 40\) instead of"),
    "an axis more": (behind("Unsqueeze", axes=np.array([0])), r"shape \(1, 1, 1, 48, 40\) instead"),
    "one number": (behind("ReduceMean", keepdims=1), r"shape \(1, 1, 1, 1\) instead of"),
    "empty": (
        behind("Slice", starts=np.array([0]), ends=np.array([0]), axes=np.array([2])),
        r"shape \(1, 1, 0, 40\) instead of",
    ),
    "double": (behind("Cast", to=TensorProto.DOUBLE), "dtype float64 instead of float32"),
    "half": (behind("Cast", to=TensorProto.FLOAT16), "dtype float16 instead of float32"),
    "integers": (behind("Cast", to=TensorProto.INT32), "dtype int32 instead of float32"),
    "slightly off": (slightly_off, "mae 0.001 is over"),
    "zero": (behind("Mul", by=np.array(0, np.float32)), "a constant output, 0; the network's goes"),
}


@pytest.fixture(autouse=True)
def images(make_images: Callable[..., Path]) -> Path:
    return make_images(2)


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_output(parity: Any, edited: Callable[..., Path], what: str) -> None:
    change, reason = CHANGES[what]
    ran = parity("--candidate", f"tiny_np={edited('tiny_np', change)}", shapes=False)
    assert ran.code == 1
    assert ran.report["summary"]["status"] == "fail"
    bad = [row for row in ran.rows if row["status"] == "fail"]
    assert {row["image"] for row in bad} == {"image_0000.png", "image_0001.png"}
    assert all(re.search(reason, row["reason"]) for row in bad), bad[0]["reason"]
    assert all(row["proof"] == "weights unproven" for row in ran.rows)


def test_a_square_image_transposed(
    parity: Any, edited: Callable[..., Path], make_images: Callable[..., Path]
) -> None:
    """On a square image only the values tell."""
    path = edited("tiny_np", behind("Transpose", perm=[0, 1, 3, 2]))
    square = make_images(1, size=(48, 48), folder="square")
    ran = parity("--candidate", f"tiny_np={path}", images=square, shapes=False)
    assert ran.code == 1
    assert ran.rows[0]["reason"].startswith("mae ")


def test_a_missing_output_of_several(parity: Any, edited: Callable[..., Path]) -> None:
    path = edited("tiny_trufor", without_score)
    ran = parity("--models", "tiny_trufor", "--candidate", f"tiny_trufor={path}", shapes=False)
    assert ran.code == 1
    status = {row["output"]: (row["status"], row["reason"]) for row in ran.rows}
    assert status["score"] == ("fail", "the output is missing")
    assert status["map"][0] == status["conf"][0] == status["noiseprint"][0] == "pass"


def test_an_error_that_shows_at_another_shape_only(
    parity: Any, edited: Callable[..., Path]
) -> None:
    """The images are 48 x 40; a graph that was traced at 48 x 40 is right there alone."""
    frozen = behind("Reshape", shape=np.array([1, 1, 48, 40]))
    path = edited("tiny_np", frozen)
    ran = parity("--candidate", f"tiny_np={path}")
    assert ran.code == 2
    assert {row["status"] for row in ran.report["rows"]} == {"pass"}
    assert "error" in {row["status"] for row in ran.report["shape_rows"]}
