"""Foreign code, options and messages."""

from __future__ import annotations

from pathlib import Path

from tests.wrong_answers.workshop import Ran, Workshop, set_up

SEED = ("--stand-in", "good")
LABELS = ("labels", ("batch", "height", "width"))
HEADS = (("one", ("batch", 1, "height", "width")), ("two", ("batch", 1, "height", "width")))
BROKEN = """
import sys, torch
from torch import nn


class Gives(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3, padding=1)
    def forward(self, x):
        return self.give(self.conv(x))


def gives(what):
    def build():
        made = Gives()
        made.give = what
        return made
    return build


none = gives(lambda y: None)
number = gives(lambda y: float(y.mean()))
tuple_with_none = gives(lambda y: (y, None))
complex_ = gives(lambda y: torch.complex(y, y))
bfloat = gives(lambda y: y.bfloat16())
two = gives(lambda y: (y, y))
fails = gives(lambda y: {}["absent"])
recursion = gives(lambda y: recurse(y))
stops = gives(lambda y: sys.exit(0))


def recurse(y):
    return recurse(y)


def exits():
    sys.exit(0)


def no_module():
    return 3


def wrong_arguments(depth):
    return Gives()


def prints():
    print("not JSON")
    return Gives()
"""


def said(ran: Ran, code: int, *words: str) -> None:
    assert ran.code == code, f"exit {ran.code}: {ran.text}"
    for word in words:
        assert word in ran.text, f"{word!r} is not said: {ran.text[-600:]}"


def exported(w: Workshop, name: str, *options: object) -> Path:
    said(w.run("export", name, *SEED, *options), 0)
    return w.folder / "onnx_models" / f"{name}.onnx"


def edit(w: Workshop, code: str) -> None:
    """Change onnx_models/tiny.onnx into candidate.onnx, which has no lock."""
    w.python(
        "import onnx, numpy as np\nfrom onnx import helper, numpy_helper\n"
        "m = onnx.load('onnx_models/tiny.onnx'); g = m.graph\n"
        f"{code}\nonnx.save(m, 'candidate.onnx')"
    )


START = """
x = g.input[0].name
for n in g.node:
    n.input[:] = ["inner" if i == x else i for i in n.input]
"""


@set_up("9", "two --candidate options for one network, the bad one first", "both judged, or exit 2")
def two_candidates(w: Workshop) -> str:
    w.network("tiny", "Tiny")
    images = w.images()
    for seed in ("good", "bad"):
        assert w.run("export", "tiny", "--stand-in", seed, "--out", seed).code == 0
        (w.folder / seed / "tiny.lock.json").unlink()
    options = ("--models", "tiny", "--stand-in", "good", "--images", images)
    both = ("--candidate", "tiny=bad/tiny.onnx", "--candidate", "tiny=good/tiny.onnx")
    ran = w.run("parity", "run", *options, *both)
    said(ran, 1)
    status: dict[str, set[str]] = {}
    for group in w.report()["summary"]["groups"]:
        status.setdefault(group["variant"], set()).add(group["status"])
    assert status["candidate"] == {"fail"}, status
    assert status["candidate #2"] == {"pass"}, status
    bench = w.run("parity", "bench", *options, *both)
    said(bench, 2, "one after the other")
    twice = w.run("parity", "run", *options, "--variant", "portable", "--variant", "ort")
    said(twice, 2, "given twice")
    return "both judged, exit 1; bench and lists given twice: exit 2"


@set_up("16a", "a network that gives int64 labels", "exit 0; with other weights exit 1")
def labels(w: Workshop) -> str:
    w.network("argmax", "Argmax", outputs=[LABELS])
    images, options = w.images(), ("--models", "argmax", *SEED)
    exported(w, "argmax")
    said(w.run("parity", "run", *options, "--images", images), 0)
    assert w.run("export", "argmax", "--stand-in", "bad", "--out", "bad").code == 0
    (w.folder / "bad/argmax.lock.json").unlink()
    wrong = w.run(
        "parity", "run", *options, "--images", images, "--candidate", "argmax=bad/argmax.onnx"
    )
    said(wrong, 1, "of the labels are others")
    return "exit 0; other weights: exit 1"


@set_up("16b", "outputs that the spec does not name, or that are no tensors", "exit 2 with a hint")
def returns(w: Workshop) -> str:
    (w.site / "broken.py").write_text(BROKEN)
    ways = {
        "networks:DictOut": "returns 2 outputs (mask, edge), its spec names ['one']",
        "networks:NestedOut": "returns 3 outputs",
        "broken:none": "returns None",
        "broken:number": "returns a float",
        "broken:complex_": "complex64",
        "broken:bfloat": "bfloat16",
        "broken:two": "returns 2 outputs",
        "broken:fails": "KeyError: 'absent' (broken.py, line",
        "broken:recursion": "RecursionError",
        "broken:stops": "ended the process",
        "broken:exits": "ended the process",
        "broken:no_module": "gave int, not a network",
        "broken:wrong_arguments": "missing 1 required positional argument",
        "absent:network": "needs absent, which is not installed",
    }
    for number, (builder, words) in enumerate(ways.items()):
        heads = HEADS if builder == "networks:NestedOut" else HEADS[:1]
        name = w.network(f"n{number}", builder, outputs=heads)
        ran = w.run("export", name, *SEED)
        said(ran, 2, f"error: {name}", words, "hint: ")
        assert "memory" not in ran.text, ran.text
    w.network("left_out", "broken:tuple_with_none", outputs=HEADS[:1])
    said(w.run("export", "left_out", *SEED), 0, "left_out returns None as output_1: left out")
    return f"{len(ways)} ways, each exit 2 with a hint; None beside an output is left out, and said"


@set_up("16c", "a parameter without dimensions, stand-in weights", "exit 0")
def without_dimensions(w: Workshop) -> str:
    w.network("scale", "Scale")
    exported(w, "scale")
    said(w.run("parity", "run", "--models", "scale", *SEED, "--images", w.images()), 0)
    return "exit 0"


@set_up("16d", "a network that does not take the sizes of the check", "exit 2, the size to say")
def sizes(w: Workshop) -> str:
    (w.site / "small.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Pools(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.conv = nn.Conv2d(3, 1, 40)\n"
        "    def forward(self, x):\n        return self.conv(x)\n"
    )
    w.network("pools", "small:Pools")
    said(w.run("export", "pools", *SEED), 2, "least_size=40")
    w.network("pools", "small:Pools", least_size=40)
    exported(w, "pools")
    return "exit 2 with the least size; exit 0 with it"


@set_up(
    "16e", "a checkpoint that is a TorchScript archive", "its tensors, or exit 2; no code of it"
)
def torchscript(w: Workshop) -> str:
    w.network("tiny", "Tiny", files=["x.pt"])
    w.python(
        "import sys; sys.path.insert(0, 'site')\nimport torch, networks\n"
        "script = torch.jit.script(networks.Tiny().eval())\n"
        "torch.jit.save(script, 'x.pt'); torch.jit.save(torch.jit.freeze(script), 'frozen.pt')"
    )
    said(w.run("export", "tiny", "--weights", "x.pt"), 0, "x.pt")
    frozen = w.run("export", "tiny", "--weights", "frozen.pt", "--replace")
    said(frozen, 2, "hint: ")
    assert "weights_only" not in frozen.text, frozen.text
    return "exit 0 with its tensors; exit 2 where they are constants of its code"


@set_up("24a", "outputs of a file in another order than the network's", "judged by name, and said")
def reordered(w: Workshop) -> str:
    w.network("tiny", "TwoHeads", outputs=HEADS)
    exported(w, "tiny")
    edit(w, "o = list(g.output)[::-1]; del g.output[:]; g.output.extend(o)")
    options = ("--models", "tiny", *SEED, "--images", w.images())
    ran = w.run("parity", "run", *options, "--candidate", "tiny=candidate.onnx")
    said(ran, 0, "the file gives them in another order: two, one (the network: one, two)")
    return "exit 0, said"


@set_up("24b", "a file whose own word on preprocessing contradicts the run", "fails, both named")
def contradiction(w: Workshop) -> str:
    w.network("tiny", "Tiny")
    images = w.images()
    exported(w, "tiny")
    options = ("--models", "tiny", *SEED, "--images", images)
    words = ("it was made for scale 255.0", "with scale 256.0")
    said(w.run("parity", "run", *options, "--pixel-scale", "256"), 1, *words)
    edit(
        w,
        "for p in m.metadata_props:\n    if p.key.endswith('.preprocessing'):\n"
        "        p.value = p.value.replace('\"mean\":[0.0', '\"mean\":[0.5')\n"
        "        assert '0.5' in p.value",
    )
    candidate = ("--candidate", "tiny=candidate.onnx")
    said(w.run("parity", "run", *options, *candidate), 1, "mean [0.5", "mean [0.0")
    edit(w, "del m.metadata_props[:]")  # says nothing: judged as the run says
    said(w.run("parity", "run", *options, *candidate, "--pixel-scale", "256"), 0)
    return "exit 1, both named; a file that says nothing: exit 0"


@set_up("24c", "preprocessing in a file's graph, which the run does too", "fails, and said")
def twice(w: Workshop) -> str:
    w.network("tiny", "Tiny")
    exported(w, "tiny")
    edit(
        w,
        START + "g.node.insert(0, helper.make_node('Div', [x, 'c255'], ['inner']))\n"
        "g.initializer.append(numpy_helper.from_array(np.array(255, np.float32), 'c255'))",
    )
    options = ("--models", "tiny", *SEED, "--images", w.images())
    ran = w.run("parity", "run", *options, "--candidate", "tiny=candidate.onnx")
    said(ran, 1, "begins by dividing by 255, which the run has done already")
    edit(
        w,
        START + "g.node.insert(0, helper.make_node('Cast', [x], ['inner'], to=1))\n"
        "g.input[0].type.tensor_type.elem_type = 2",
    )
    ran = w.run("parity", "run", *options, "--candidate", "tiny=candidate.onnx")
    said(ran, 2, "tensor(uint8)", "prepares pictures by itself")
    return "exit 1, said; bytes as input: exit 2"


@set_up("29", "a fixed-size network through the default gate", "passes")
def fixed_size(w: Workshop) -> str:
    w.network("tiny", "Tiny", fixed_size=[48, 64], inputs=[("x", ("batch", 3, 48, 64))])
    exported(w, "tiny")
    images = w.images(count=16)
    said(w.run("parity", "run", "--models", "tiny", *SEED, "--images", images), 0)
    gate = w.run("parity", "gate", "reports/parity/parity.json", "--json")
    cases = gate.text.split('"rule": "cases"')[0].rsplit("{", 1)[-1]
    assert '"outcome": "pass"' in cases, gate.text[-3000:]
    few = w.run("parity", "run", "--models", "tiny", *SEED, "--images", images, "--no-shapes")
    said(few, 0)
    ran = w.run("parity", "gate", "reports/parity/parity.json")
    said(ran, 1, "0 shapes were measured", "run without --no-shapes")
    return "the rule passes; without shapes it does not, and its hint mends it"


@set_up("30", "a file that takes channels last", "axis, got, expected, and how to map it")
def channels_last(w: Workshop) -> str:
    w.network("tiny", "Tiny")
    exported(w, "tiny")
    turn = "g.node.insert(0, helper.make_node('Transpose', [x], ['inner'], perm=[0, 3, 1, 2]))"
    free = "d = g.input[0].type.tensor_type.shape.dim\nd[1].dim_param = 'h'\nd[2].dim_param = 'w'\n"
    options = ("--models", "tiny", *SEED, "--images", w.images(count=16))
    run = ("parity", "run", *options, "--candidate", "tiny=candidate.onnx")
    edit(w, f"{START}{turn}\n{free}d[3].dim_value = 3")
    words = ("channels last, (batch, h, w, 3)", "the run gives 3", "Transpose with perm")
    said(w.run(*run), 2, *words)
    edit(w, f"{START}{turn}\n{free}d[3].dim_param = 'c'")  # nothing in the file says it
    said(w.run(*run), 2, "it takes channels last: x (1, 64, 96, 3) runs", "Transpose with perm")
    w.network("fixed", "Tiny", fixed_size=[48, 64], inputs=[("x", ("batch", 3, 48, 64))])
    exported(w, "fixed")
    fixed = ("--models", "tiny", *SEED, "--images", w.images(count=16))
    (w.folder / "onnx_models/fixed.lock.json").unlink()
    ran = w.run("parity", "run", *fixed, "--candidate", "tiny=onnx_models/fixed.onnx")
    said(ran, 2, "Got: ", "Expected: ", " comparisons: ")
    assert ran.err.count("\n") < 8, f"a reason thirty times: {ran.err}"
    return "exit 2 with axis, got, expected; said once"
