"""Limits, ratios, constants, randomness, and references that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.wrong_answers.workshop import Ran, Workshop, set_up


def plain(path: Path, nodes: list[Any], constants: dict[str, Any]) -> Path:
    """A file of a few nodes from ``x`` to ``mask``."""
    import numpy as np
    import onnx

    shape = ["batch", None, "height", "width"]
    graph = onnx.helper.make_graph(
        nodes,
        "made_by_hand",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 3, *shape[2:]])],
        [onnx.helper.make_tensor_value_info("mask", onnx.TensorProto.FLOAT, shape)],
        [onnx.numpy_helper.from_array(np.array(v), k) for k, v in constants.items()],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model_gen_version(graph, opset_imports=opset, ir_version=8), path)
    return path


def constant(path: Path, value: float) -> Path:
    """A file whose output is one value everywhere, in the right shape."""
    import numpy as np
    from onnx.helper import make_node

    nodes = [
        make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=1),
        make_node("Mul", ["m", "zero"], ["z"]),
        make_node("Add", ["z", "value"], ["mask"]),
    ]
    constants = {"axes": [1], "zero": np.float32(0.0), "value": np.float32(value)}
    return plain(path, nodes, constants)


def edited(path: Path, out: Path, edit: Callable[[Any, str, str], list[Any]]) -> Path:
    """A copy of an exported file with nodes between what was its output and the new one."""
    import onnx

    model = onnx.load(path)
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["before" if name == output.name else name for name in node.output]
    model.graph.node.extend(edit(model, "before", output.name))
    onnx.save(model, out)
    return out


def exported(w: Workshop, name: str, seed: str = "golden") -> Path:
    ran = w.run("export", name, "--stand-in", seed, "--out", seed)
    assert ran.code == 0, ran.text
    return w.folder / seed / f"{name}.onnx"


def judged(w: Workshop, name: str, file: Path, images: Path, *options: object) -> Ran:
    """``parity run`` of a file that the user names, without a lock."""
    given = ("--models", name, "--stand-in", "golden", "--images", images)
    return w.run("parity", "run", *given, "--candidate", f"{name}={file}", *options)


def told(ran: Ran, *codes: int, words: str) -> str:
    assert ran.code in codes, f"exit {ran.code}: {ran.text[-300:]}"
    assert words in " ".join(ran.text.split()), f"exit {ran.code}, without {words!r}: {ran.text}"
    return f"exit {ran.code}: {words}"


@set_up("7", "`Small` (outputs of 1e-6) judged with other weights", "fail")
def small(w: Workshop) -> str:
    w.network("small", "Small")
    file = exported(w, "small", "another")
    file.with_suffix(".lock.json").unlink()
    ran = judged(w, "small", file, w.images())
    return told(ran, 1, words="of the outputs' spread")


@set_up("8", "`INorm`, whose own float32 rounding is 1e-5 of its range, right file", "pass")
def normalised(w: Workshop) -> str:
    w.network("inorm", "INorm")
    file = exported(w, "inorm")
    for number, size in enumerate(((64, 48), (200, 300), (400, 400))):
        images = w.images(3, size, f"images{number}")
        ran = judged(w, "inorm", file, images, "--out", f"reports/{number}")
        assert ran.code == 0, f"{size}: exit {ran.code}: {ran.err[-300:]}"
    worst = max(row["accuracy_ratio"] for row in w.report("reports/2")["rows"])
    return f"exit 0 with {worst:.0f} times PyTorch's error"


@set_up("10a", "a candidate with a Dropout that trains", "named as random, fail")
def dropout(w: Workshop) -> str:
    import numpy as np
    import onnx

    def nodes(model: Any, before: str, after: str) -> list[Any]:
        for name, value in (("ratio", np.float32(0.2)), ("yes", np.array(True))):
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value), name))
        return [onnx.helper.make_node("Dropout", [before, "ratio", "yes"], [after])]

    w.network("tiny", "Tiny")
    file = edited(exported(w, "tiny"), w.folder / "dropout.onnx", nodes)
    return told(judged(w, "tiny", file, w.images()), 1, words="the file is random: Dropout")


@set_up("10b", "a candidate with a RandomNormalLike, of a size that no limit sees", "as 10a")
def noise(w: Workshop) -> str:
    import onnx

    def nodes(_: Any, before: str, after: str) -> list[Any]:
        return [
            onnx.helper.make_node("RandomNormalLike", [before], ["noise"], scale=1e-9),
            onnx.helper.make_node("Add", [before, "noise"], [after]),
        ]

    w.network("tiny", "Tiny")
    file = edited(exported(w, "tiny"), w.folder / "noise.onnx", nodes)
    return told(judged(w, "tiny", file, w.images()), 1, words="the file is random: RandomNormal")


@set_up("11a", "a constant near the mean of outputs that hardly vary", "fail, named")
def near_constant(w: Workshop) -> str:
    w.network("small", "Small")
    images = w.images()
    exported_ = exported(w, "small")
    assert judged(w, "small", exported_, images).code == 0
    (mean, *_) = (row["reference"]["mean"] for row in w.report()["rows"])
    ran = judged(w, "small", constant(w.folder / "constant.onnx", mean), images)
    return told(ran, 1, words="a constant output")


@set_up("11b", "a candidate that ignores its input: one picture's answer for all", "fail, named")
def ignores(w: Workshop) -> str:
    import numpy as np
    import onnxruntime
    from onnx.helper import make_node
    from PIL import Image

    w.network("small", "Small")
    images = w.images(3)
    session = onnxruntime.InferenceSession(str(exported(w, "small")))
    with Image.open(images / "picture_000.png") as picture:
        pixels = np.asarray(picture, np.float32) / np.float32(255.0)
    (answer,) = session.run(None, {"x": pixels.transpose(2, 0, 1)[np.newaxis]})
    nodes = [
        make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=1),
        make_node("Mul", ["m", "zero"], ["z"]),
        make_node("Add", ["z", "answer"], ["mask"]),
    ]
    constants = {"axes": [1, 2, 3], "zero": np.float32(0.0), "answer": answer}
    file = plain(w.folder / "same.onnx", nodes, constants)
    ran = judged(w, "small", file, images, "--no-shapes")
    return told(ran, 1, words="ignores its input")


@set_up("18a", "`Dark` (outputs of 2e-7) against all zeros", "fail")
def dark(w: Workshop) -> str:
    w.network("dark", "Dark")
    ran = judged(w, "dark", constant(w.folder / "zeros.onnx", 0.0), w.images(6))
    return told(ran, 1, words="a constant output, 0;")


@set_up("18b", "`Heat` at 512 x 512 (softmax over pixels) against a uniform map", "fail")
def heat(w: Workshop) -> str:
    import numpy as np
    from onnx.helper import make_node

    w.network("heat", "Heat")
    nodes = [
        make_node("ReduceMean", ["x", "channels"], ["m"], keepdims=1),
        make_node("Mul", ["m", "zero"], ["z"]),
        make_node("Add", ["z", "one"], ["ones"]),
        make_node("ReduceSum", ["ones", "pixels"], ["n"], keepdims=1),
        make_node("Div", ["ones", "n"], ["mask"]),
    ]
    constants = {"channels": [1], "pixels": [2, 3], "zero": np.float32(0), "one": np.float32(1)}
    file = plain(w.folder / "uniform.onnx", nodes, constants)
    ran = judged(w, "heat", file, w.images(6, (512, 512)), "--no-shapes")
    return told(ran, 1, words="a constant output")


@set_up("18c", "`Dark`, as a network whose output is called score, with other weights", "fail")
def dark_score(w: Workshop) -> str:
    w.network("dark", "Dark", outputs=(("score", ("batch", 1, "height", "width")),))
    from onnx.helper import make_node

    nodes = [
        make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=1),
        make_node("Mul", ["m", "small"], ["score"]),
    ]
    import numpy as np

    file = plain(w.folder / "other.onnx", nodes, {"axes": [1], "small": np.float32(3e-7)})
    import onnx

    model = onnx.load(file)
    model.graph.output[0].name = "score"
    onnx.save(model, file)
    return told(judged(w, "dark", file, w.images(6)), 1, words="of the outputs' spread")


@set_up("18d", "`Dark` itself, which ONNX Runtime's Sigmoid rounds by a third", "file right, said")
def dark_itself(w: Workshop) -> str:
    w.network("dark", "Dark")
    ran = w.run("export", "dark", "--stand-in", "golden", "--out", "right")
    told(ran, 0, words="the same file computed in float64 is right")
    ran = judged(w, "dark", w.folder / "right" / "dark.onnx", w.images(6), "--no-shapes")
    return told(ran, 1, words="ONNX Runtime's kernels round, the file is right")


@set_up("18e", "NFNet: a convolution of its own class, which the reference has to keep", "pass")
def standardised(w: Workshop) -> str:
    w.network("scaled", "Standardised")
    file = exported(w, "scaled")
    return told(judged(w, "scaled", file, w.images(6), "--no-shapes"), 0, words="pass")


@set_up("19", "outputs shifted by 9e-7 everywhere", "fail: biased, though small")
def shifted(w: Workshop) -> str:
    return told(moved(w, "Add", 9e-7), 1, words="biased: every case is off to the same side")


@set_up("19b", "outputs that are too large by 3e-6 of themselves", "fail")
def scaled(w: Workshop) -> str:
    return told(moved(w, "Mul", 1.000003), 1, words="accuracy ratio")


def moved(w: Workshop, operator: str, by: float) -> Ran:
    """A right file with an operator after its output."""
    import numpy as np
    import onnx

    def nodes(model: Any, before: str, after: str) -> list[Any]:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(by, np.float32), "by"))
        return [onnx.helper.make_node(operator, [before, "by"], [after])]

    w.network("tiny", "Tiny")
    file = edited(exported(w, "tiny"), w.folder / "moved.onnx", nodes)
    return judged(w, "tiny", file, w.images(6))


@set_up("23a", "`AllF32` (half in the middle) as the reference", "the reference is not float64")
def half_inside(w: Workshop) -> str:
    w.network("half", "AllF32")
    ran = judged(w, "half", constant(w.folder / "any.onnx", 0.5), w.images())
    return told(ran, 2, words="the reference is not float64 throughout")


@set_up("23b", "`F32Inside` (a norm in float32) as the reference", "said")
def single_inside(w: Workshop) -> str:
    w.network("single", "F32Inside")
    file = exported(w, "single")
    ran = judged(w, "single", file, w.images())
    end = told(ran, 0, words="the reference is not float64 throughout")
    again = judged(w, "single", file, w.images())  # references and proof come from the cache
    told(again, 0, words="the reference is not float64 throughout")
    assert "not float64 throughout" in w.report()["models"]["single"]["reference"]
    return end
