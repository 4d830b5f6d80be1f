"""What a file says that it takes is held against what the run gives it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.parity.conftest import TINY_MIT, TINY_NP
from trufor_onnx.errors import ParityError
from trufor_onnx.export.networks.spec import Preprocessing
from trufor_onnx.parity.runners.contract import (
    Port,
    contradiction,
    order_note,
    require_inputs,
    start_note,
)

PLAIN = Preprocessing(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture(autouse=True)
def images(make_images: Callable[..., Path]) -> Path:
    return make_images(2)


def port(*axes: int | str | None, kind: str = "tensor(float)", name: str = "image") -> Port:
    return Port(name, kind, axes)


@pytest.mark.parametrize(
    ("given", "problem", "hint"),
    [
        (port("b", 48, 40, 3), "channels last, (b, 48, 40, 3): axis 1 is 48 there", "(0, 2, 3, 1)"),
        (port("b", 1, "h", "w"), "axis 1 is 1 there, the run gives 3", "these sizes"),
        (port(3, "h", "w"), "has 3 axes, (3, h, w); the network's has 4", "the network's axes"),
        (port("b", 3, "h", "w", kind="tensor(uint8)"), "is tensor(uint8), the run gives", "twice"),
        (port("b", 3, "h", "w", kind="tensor(float16)"), "is tensor(float16)", "keep_io_types"),
        (port("b", 3, "h", "w", name="x"), "its inputs are x; tiny_np has image", "renamed"),
    ],
)
def test_what_does_not_take_the_run_s_inputs(given: Port, problem: str, hint: str) -> None:
    with pytest.raises(ParityError) as refusal:
        require_inputs(Path("f.onnx"), TINY_NP, [given])
    assert problem in refusal.value.problem
    assert hint.replace("twice", "prepares pictures by itself") in refusal.value.hint


@pytest.mark.parametrize("axes", [("b", 3, "h", "w"), (1, 3, 48, 40), (None, 3, None, None), ()])
def test_what_does(axes: tuple[Any, ...]) -> None:
    require_inputs(Path("f.onnx"), TINY_NP, [port(*axes)])


def metadata(preprocessing: Preprocessing) -> dict[str, str]:
    return {"trufor_onnx.preprocessing": json.dumps(preprocessing.document())}


def test_a_file_made_for_another_preprocessing() -> None:
    assert contradiction({}, PLAIN) == ""
    assert contradiction(metadata(PLAIN), PLAIN) == ""
    reason = contradiction(metadata(PLAIN), replace(PLAIN, scale=256.0))
    assert "made for scale 255.0" in reason
    assert "with scale 256.0" in reason
    other = {"trufor_onnx.provenance": json.dumps({"preprocessing": Preprocessing().document()})}
    assert "scale 256.0" in contradiction(metadata(PLAIN) | other, PLAIN)
    for broken in ("{", "3", "null"):
        assert "cannot be read" in contradiction({"trufor_onnx.preprocessing": broken}, PLAIN)


def test_another_order_of_outputs_is_said() -> None:
    names = [tensor.name for tensor in TINY_MIT.outputs]
    assert order_note("f.onnx", TINY_MIT, names) == ""
    assert order_note("f.onnx", TINY_MIT, [names[0], "more", *names[1:]]) == ""
    assert "in another order: " + ", ".join(names[::-1]) in order_note(
        "f.onnx", TINY_MIT, names[::-1]
    )


def graph(*nodes: onnx.NodeProto, **constants: Any) -> onnx.ModelProto:
    """x through some nodes, then a convolution."""
    given = [
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in constants.items()
    ]
    last = nodes[-1].output[0] if nodes else "x"
    weight = numpy_helper.from_array(np.ones((1, 3, 1, 1), np.float32), "weight")
    made = helper.make_graph(
        [*nodes, helper.make_node("Conv", [last, "weight"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [*given, weight],
    )
    return helper.make_model(made)


def node(operator: str, *names: str) -> onnx.NodeProto:
    return helper.make_node(operator, list(names[:-1]), [names[-1]])


CHANNELS = (1, 3, 1, 1)
MEAN, STD = np.reshape(PLAIN.mean, CHANNELS), np.reshape(PLAIN.std, CHANNELS)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (graph(), ""),
        (graph(node("Div", "x", "c", "a"), c=255.0), "dividing by 255"),
        (graph(node("Mul", "c", "x", "a"), c=1 / 256), "dividing by 255"),  # near enough
        (graph(node("Mul", "x", "c", "a"), c=2.0), ""),
        (
            graph(node("Sub", "x", "m", "a"), node("Div", "a", "s", "b"), m=MEAN, s=STD),
            "subtracting the mean",
        ),
        (
            graph(
                node("Cast", "x", "f"),
                node("Div", "f", "c", "a"),
                node("Sub", "a", "m", "b"),
                node("Div", "b", "s", "d"),
                c=255.0,
                m=MEAN,
                s=STD,
            ),
            "scaling and normalising",
        ),
        (graph(node("Sub", "c", "x", "a"), c=1.0), ""),
        (graph(node("Add", "x", "x", "a")), ""),
    ],
)
def test_a_graph_that_prepares_pictures_again(
    made: onnx.ModelProto, said: str, tmp_path: Path
) -> None:
    onnx.save(made, tmp_path / "f.onnx")
    note = start_note(tmp_path / "f.onnx", "x", PLAIN)
    assert (said in note) and bool(note) == bool(said)
    assert start_note(tmp_path / "f.onnx", "x", Preprocessing(1.0)) == ""


def test_a_pixel_scale_that_contradicts_the_file_fails(
    parity: Any, exported: Callable[[str], Path]
) -> None:
    exported("tiny_np")
    ran = parity("--pixel-scale", "255", shapes=False)
    assert ran.code == 1
    assert {row["status"] for row in ran.rows} == {"fail"}
    assert all(
        "scale 256.0, the run prepares pictures with scale 255.0" in r["reason"] for r in ran.rows
    )
    assert ran.err.count("the file says that it was made for") == 3  # images, made pictures, rows


def test_a_file_that_says_nothing_is_judged_as_the_run_says(
    parity: Any, edited: Callable[..., Path]
) -> None:
    bare = edited("tiny_np", lambda proto: proto.ClearField("metadata_props"))
    assert parity("--candidate", f"tiny_np={bare}", "--pixel-scale", "255").code == 0


def take_channels_last(proto: onnx.ModelProto) -> Any:
    """Transpose before the first layer; gives the input's dimensions, still named as they were."""
    first = proto.graph.input[0]
    for made in proto.graph.node:
        made.input[:] = ["turned" if n == first.name else n for n in made.input]
    perm = helper.make_node("Transpose", [first.name], ["turned"], perm=[0, 3, 1, 2])
    proto.graph.node.insert(0, perm)
    return first.type.tensor_type.shape.dim


def test_a_file_with_channels_last(parity: Any, edited: Callable[..., Path]) -> None:
    def turn(proto: onnx.ModelProto) -> None:
        dims = take_channels_last(proto)
        dims[1].dim_param, dims[3].dim_value = "height", 3
        dims[2].dim_param = "width"

    ran = parity("--candidate", f"tiny_np={edited('tiny_np', turn)}")
    assert ran.code == 2
    assert "channels last, (batch, height, width, 3): axis 1 is height there" in ran.err


def test_a_file_with_channels_last_that_does_not_say_so(
    parity: Any, edited: Callable[..., Path]
) -> None:
    def turn(proto: onnx.ModelProto) -> None:
        for dim, name in zip(take_channels_last(proto), "bhwc", strict=True):
            dim.dim_param = name

    ran = parity("--candidate", f"tiny_np={edited('tiny_np', turn)}")
    assert ran.code == 2
    assert "it takes channels last: image (1, " in ran.err
    assert "perm (0, 2, 3, 1)" in ran.err


def test_a_size_that_a_file_does_not_take_is_said_once(
    parity: Any, edited: Callable[..., Path], make_images: Callable[..., Path]
) -> None:
    def fix(proto: onnx.ModelProto) -> None:
        dims = proto.graph.input[0].type.tensor_type.shape.dim
        dims[2].dim_value, dims[3].dim_value = 50, 60

    make_images(9)
    ran = parity("--candidate", f"tiny_np={edited('tiny_np', fix)}", shapes=False)
    assert ran.code == 2
    assert "index: 2 Got: 48 Expected: 50, index: 3 Got: 40 Expected: 60" in ran.err
    assert "13 comparisons: " in ran.err  # four of made pictures
    assert ran.err.count("Got: ") == 6  # of images, of made pictures, and the rows: two axes each


def test_reordered_outputs_are_said(parity: Any, edited: Callable[..., Path]) -> None:
    def turn(proto: onnx.ModelProto) -> None:
        outputs = list(proto.graph.output)[::-1]
        del proto.graph.output[:]
        proto.graph.output.extend(outputs)

    ran = parity("--models", "tiny_mit", "--candidate", f"tiny_mit={edited('tiny_mit', turn)}")
    assert ran.code == 0
    assert "the file gives them in another order" in ran.out
    assert len(ran.report["models"]["tiny_mit"]["notes"]) == 1


def test_the_documented_transpose_maps_channels_last(
    parity: Any, edited: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def turn(proto: onnx.ModelProto) -> None:
        for dim, axis in zip(take_channels_last(proto), ("b", "h", "w", 3), strict=True):
            dim.dim_param = axis if isinstance(axis, str) else ""
            if isinstance(axis, int):
                dim.dim_value = axis

    theirs = edited("tiny_np", turn)
    guide = Path(__file__).parents[3] / "docs/troubleshooting.md"
    code = guide.read_text("utf-8").partition("Channels last: ")[2].partition("```python\n")[2]
    monkeypatch.chdir(tmp_path)
    theirs.rename("theirs.onnx")
    exec(code.partition("```")[0], {})
    assert parity("--candidate", "tiny_np=theirs.onnx").code == 2
    assert parity("--candidate", "tiny_np=channels_first.onnx").code == 0
