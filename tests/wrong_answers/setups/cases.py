"""What a network is run on: sizes that no case had, pictures that prove nothing."""

from __future__ import annotations

from tests.wrong_answers.workshop import Workshop, set_up

NET = ("--models", "tiny", "--stand-in", "a", "--images", "images")
# Adds 0.1 to the output where a condition on the input's shape (batch, 3, height, width) holds.
WRONG_WHERE = """
import onnx
from onnx import TensorProto, helper, numpy_helper
import numpy as np
model = onnx.load("{good}")
graph = model.graph
image, output = graph.input[0].name, graph.output[0].name
for node in graph.node:
    node.output[:] = ["before" if name == output else name for name in node.output]
def constant(name, value, kind):
    graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=kind), name))
for n, value in enumerate({over}):
    constant(f"over{{n}}", value, np.int64)
constant("tenth", 0.1, np.float32)
constant("axis", 0, np.int64)
graph.node.append(helper.make_node("Shape", [image], ["shape"]))
for n in range(4):
    constant(f"at{{n}}", n, np.int64)
    graph.node.append(helper.make_node("Gather", ["shape", f"at{{n}}"], [f"side{{n}}"]))
{nodes}
graph.node.append(helper.make_node("Cast", ["holds"], ["one"], to=TensorProto.FLOAT))
graph.node.append(helper.make_node("Mul", ["one", "tenth"], ["more"]))
graph.node.append(helper.make_node("Add", ["before", "more"], [output]))
onnx.checker.check_model(model)
onnx.save(model, "bad.onnx")
"""
EXPORTS = ("export", "tiny", "--stand-in", "a", "--out", "good")


def _node(operator: str, inputs: list[str], output: str) -> str:
    return f"graph.node.append(helper.make_node({operator!r}, {inputs!r}, [{output!r}]))"


def _greater(side: str, over: str, output: str) -> str:
    return _node("Greater", [side, over], output)


CONDITIONS = {
    "a height over 256": ([256], [_greater("side2", "over0", "holds")]),
    "a width over 256": ([256], [_greater("side3", "over0", "holds")]),
    "both sides over 256": (
        [256],
        [
            _greater("side2", "over0", "tall"),
            _greater("side3", "over0", "wide"),
            _node("And", ["tall", "wide"], "holds"),
        ],
    ),
    "a width over 512": ([512], [_greater("side3", "over0", "holds")]),
    "a height over 1024": ([1024], [_greater("side2", "over0", "holds")]),
    "a batch of 3 or more": ([2], [_greater("side0", "over0", "holds")]),
    "a batch of 5 or more": ([4], [_greater("side0", "over0", "holds")]),
    "an odd batch over 1": (
        [1, 2],
        [
            _node("Mod", ["side0", "over1"], "odd"),
            _node("Mul", ["odd", "side0"], "odd_batch"),
            _greater("odd_batch", "over0", "holds"),
        ],
    ),
    "four times as wide as high": (
        [4],
        [_node("Mul", ["side2", "over0"], "four"), _greater("side3", "four", "holds")],
    ),
    "four times as high as wide": (
        [4],
        [_node("Mul", ["side3", "over0"], "four"), _greater("side2", "four", "holds")],
    ),
    "odd sides": (
        [2, 0],
        [
            _node("Mod", ["side2", "over0"], "odd_height"),
            _node("Mod", ["side3", "over0"], "odd_width"),
            _node("Mul", ["odd_height", "odd_width"], "odd"),
            _greater("odd", "over1", "holds"),
        ],
    ),
}


@set_up("6", "files that add 0.1 where a side is over 256, a batch 3 or more, ...", "fail")
def sizes_that_no_case_had(w: Workshop) -> str:
    w.network("tiny", "Tiny")
    w.images()
    assert w.run(*EXPORTS).code == 0
    right = w.run("parity", "run", *NET, "--candidate", "tiny=good/tiny.onnx")
    assert right.code == 0, right.text
    passed = []
    for name, (over, nodes) in CONDITIONS.items():
        code = WRONG_WHERE.format(good="good/tiny.onnx", over=over, nodes="\n".join(nodes))
        w.python(code)
        ran = w.run("parity", "run", *NET, "--candidate", "tiny=bad.onnx")
        if ran.code != 1:
            passed.append(name)
    assert not passed, f"passed: {', '.join(passed)}"
    return f"{len(CONDITIONS)} of {len(CONDITIONS)} fail, the right file passes"


@set_up("20", "INorm exported without its epsilon: NaN on a flat picture", "fail: made pictures")
def no_epsilon(w: Workshop) -> str:
    w.network("tiny", "INorm")
    w.network("bare", "INorm", builder_arguments={"eps": 0.0})
    w.images()
    assert w.run(*EXPORTS).code == 0
    assert w.run("export", "bare", "--stand-in", "a", "--out", "bare").code == 0
    w.run("parity", "run", *NET, "--candidate", "tiny=good/tiny.onnx")
    assert not _failed(w), f"the right file fails on {_failed(w)}"
    (w.folder / "bad.onnx").write_bytes((w.folder / "bare/bare.onnx").read_bytes())  # no lock
    ran = w.run("parity", "run", *NET, "--candidate", "tiny=bad.onnx")
    assert ran.code == 1, ran.text
    bad = _failed(w)
    assert "made:black" in bad, bad
    assert "values are NaN or infinite" in ran.text, ran.text
    # A network that has no epsilon itself has no answer there: said, and no right file fails.
    mine = ("--models", "bare", "--stand-in", "a", "--images", "images", "--onnx-models", "bare")
    own = w.run("parity", "run", *mine)
    assert not _failed(w), f"its own file fails on {_failed(w)}"
    assert "itself gives NaN" in own.text, own.text
    return f"exit {ran.code} on {', '.join(bad)}; the network without epsilon itself: said"


def _failed(w: Workshop) -> list[str]:
    """Made pictures on which the file failed."""
    rows = [row for row in w.report()["shape_rows"] if row["image"].startswith("made:")]
    return sorted({row["image"] for row in rows if row["status"] not in ("pass", "not run")})


@set_up("21a", "twelve copies of one picture with other PNG text", '"1 different picture"')
def copies(w: Workshop) -> str:
    w.network("tiny", "Tiny")
    w.images(1)
    w.python(
        "from PIL import Image, PngImagePlugin\n"
        "for n in range(12):\n"
        "    text = PngImagePlugin.PngInfo()\n"
        "    text.add_text('n', str(n))\n"
        "    Image.open('images/picture_000.png').save(f'images/copy_{n}.png', pnginfo=text)\n"
    )
    assert w.run("export", "tiny", "--stand-in", "a", "--out", "onnx_models").code == 0
    ran = w.run("parity", "run", *NET)
    assert ran.code == 0, ran.text
    assert "1 different picture" in ran.text, ran.text
    gate = w.run("parity", "gate", "reports/parity/parity.json", "--explain")
    assert "1 different image was measured" in gate.text, gate.text
    assert gate.code == 1, gate.text
    return "run: 1 different picture; gate: stopped"


@set_up("21b", "twelve black pictures and a file that ignores its input", "exit 2: proves nothing")
def black_pictures(w: Workshop) -> str:
    w.network("tiny", "Tiny")
    w.python(
        "from PIL import Image\n"
        "from pathlib import Path\n"
        "Path('images').mkdir()\n"
        "for n in range(12):\n"
        "    picture = Image.new('RGB', (48, 64))\n"
        "    picture.putpixel((n, n), (1, 1, 1))\n"
        "    picture.save(f'images/{n}.png')\n"
    )
    assert w.run("export", "tiny", "--stand-in", "a", "--out", "onnx_models").code == 0
    ran = w.run("parity", "run", *NET)
    assert ran.code == 2, ran.text
    assert "of one colour" in ran.err and "prove nothing" in ran.err, ran.err
    bundle = w.run("parity", "reference", *NET, "--out", "b")
    assert bundle.code == 2, bundle.text
    return f"exit {ran.code}: of one colour"
