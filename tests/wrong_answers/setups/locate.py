"""Where does a difference start: right files of other exporters, inputs, what no output shows."""

from __future__ import annotations

from tests.wrong_answers.workshop import Ran, Workshop, set_up

# Exports of networks by torch's own exporter, with the weights of the seed "a". FOLDED_NAMES gives
# a folded BatchNorm its convolution's name, as torch's default exporter (`dynamo=True`) does.
TORCH = """
import warnings
warnings.simplefilter("ignore")
import numpy as np, onnx, torch
from torch import nn
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.weights.sources import WeightsSource

def network(name):
    spec = find(name)
    module = spec.build()
    module.load_state_dict(dict(WeightsSource(stand_in="a").weights_for(spec, module).tensors))
    return spec, module.eval()

class Before(nn.Module):
    def __init__(self, net, change):
        super().__init__()
        self.net, self.change = net, change
    def forward(self, x):
        return self.net(self.change(x))

def save(module, spec, path, example=None, **given):
    x = torch.rand(1, 3, 64, 48) if example is None else example
    names = [tensor.name for tensor in spec.outputs]
    free = {"x": {0: "b", 2: "h", 3: "w"}}
    torch.onnx.export(module, (x,), path, dynamo=False, opset_version=18, input_names=["x"],
                      output_names=names, dynamic_axes=free, **given)

def rename(proto, old, new):
    for tensor in proto.graph.initializer:
        tensor.name = new if tensor.name == old else tensor.name
    for node in proto.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]

def folded_names(path, layers):
    proto = onnx.load(path)
    convs = [node for node in proto.graph.node if node.op_type == "Conv"]
    for node, layer in zip(convs, layers):
        rename(proto, node.input[1], layer + ".weight")
        rename(proto, node.input[2], layer + ".weight_bias")
    return proto
"""
SEG_LAYERS = '["a.0", "b.0", "c.0"]'
OPTIONS = ("--stand-in", "a", "--size", "64x48")


def _locate(w: Workshop, model: str, file: str) -> Ran:
    return w.run(
        "parity",
        "locate",
        model,
        "--candidate",
        f"{model}={file}",
        "--images",
        w.images(),
        *OPTIONS,
    )


@set_up("25a", "BatchNorm folded, the weight keeps its name (dynamo=True)", "no fault")
def folded_under_the_old_name(w: Workshop) -> str:
    w.network("seg", "Seg")
    w.python(
        f"{TORCH}\nspec, net = network('seg')\nsave(net, spec, 'plain.onnx')\n"
        f"onnx.save(folded_names('plain.onnx', {SEG_LAYERS}), 'seg.onnx')"
    )
    ran = _locate(w, "seg", "seg.onnx")
    assert ran.code == 0, ran.text
    assert "No part creates error" in ran.out, ran.out
    return "exit 0, no part creates error"


@set_up("25b", "BatchNorm folded under new names (dynamo=False)", "no fault")
def folded_under_new_names(w: Workshop) -> str:
    w.network("seg", "Seg")
    w.network("vit", "TinyViT", outputs=(("logits", ("batch", 10)),))
    w.python(
        f"{TORCH}\nfor name in ('seg', 'vit'):\n    spec, net = network(name)\n"
        "    save(net, spec, name + '.onnx')"
    )
    for name in ("seg", "vit"):
        ran = _locate(w, name, f"{name}.onnx")
        assert ran.code == 0, ran.text
    return "exit 0 for both"


@set_up("25c", "the same with its weights in FILE.onnx.data", "no fault")
def weights_beside_the_file(w: Workshop) -> str:
    w.network("seg", "Seg")
    w.python(
        f"{TORCH}\nspec, net = network('seg')\nsave(net, spec, 'plain.onnx')\n"
        f"onnx.save(folded_names('plain.onnx', {SEG_LAYERS}), 'seg.onnx',"
        " save_as_external_data=True, location='seg.onnx.data', size_threshold=0)"
    )
    ran = _locate(w, "seg", "seg.onnx")
    assert ran.code == 0, ran.text
    return "exit 0"


@set_up("25d", "a right file whose mean ONNX Runtime's kernel rounds badly", "no fault, said")
def a_kernel_that_rounds(w: Workshop) -> str:
    w.network("inorm", "INorm")
    w.python(f"{TORCH}\nspec, net = network('inorm')\nsave(net, spec, 'inorm.onnx')")
    images = w.images(size=(160, 160), name="larger")
    ran = w.run(
        *("parity", "locate", "inorm", "--candidate", "inorm=inorm.onnx", "--stand-in", "a"),
        *("--size", "160x160", "--images", images),
    )
    assert ran.code == 0, ran.text
    assert "kernel rounds badly" in ran.out or "No part creates error" in ran.out, ran.out
    return "exit 0"


CHANGES = {
    "x 256/255": ("lambda x: x * (256 / 255)", "256/255"),
    "divided by 256": ("lambda x: x * (255 / 256)", "pixels divided by 256"),
    "not divided": ("lambda x: x * 255", "pixels not divided by 255"),
    "divided twice": ("lambda x: x / 255", "divided by 255 again"),
    "BGR": ("lambda x: x.flip(1)", "BGR"),
    "GBR": ("lambda x: x[:, [1, 2, 0]]", "GBR"),
    "normalised": ("lambda x: (x - mean) / std", "normalised once more, with ImageNet's"),
    "swapped": ("lambda x: (x - std) / mean", "mean and std swapped"),
    "to -1..1": ("lambda x: 2 * x - 1", "brought to -1..1"),
    "clipped": ("lambda x: x.clamp(0.2, 0.6)", "clipped to 0.2..0.6"),
    "float16": ("lambda x: x.half().float()", "rounded to float16"),
    "resized": ("lambda x: torch.nn.functional.interpolate(x, scale_factor=0.5)", "network's is"),
}
IMAGENET = """
mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
"""


@set_up("26a", "a difference before the first layer, float input", "the input, with the factor")
def before_the_first_layer(w: Workshop) -> str:
    w.network("seg", "Seg")
    lines = [f"save(Before(net, {code}), spec, '{i}.onnx')" for i, (code, _) in _numbered()]
    w.python("\n".join((TORCH, IMAGENET, "spec, net = network('seg')", *lines)))
    for i, (code, words) in _numbered():
        ran = _locate(w, "seg", f"{i}.onnx")
        assert ran.code == 1, f"{code}: {ran.text}"
        assert "the input creates the error" in ran.out, f"{code}: {ran.out}"
        assert words in " ".join(ran.out.split()), f"{code}: {ran.out}"
    return f"{len(CHANGES)} changes, each named"


def _numbered() -> list[tuple[int, tuple[str, str]]]:
    return list(enumerate(CHANGES.values()))


@set_up("26b", "uint8 input, divided by 256 in the file; NHWC input", "the input, with the factor")
def another_type(w: Workshop) -> str:
    w.network("seg", "Seg")
    w.python(
        f"{TORCH}\nspec, net = network('seg')\n"
        "pixels = torch.randint(0, 256, (1, 3, 64, 48), dtype=torch.uint8)\n"
        "save(Before(net, lambda x: x.float() / 256), spec, 'u8.onnx', pixels)\n"
        "save(Before(net, lambda x: x.permute(0, 3, 1, 2)), spec, 'nhwc.onnx',"
        " torch.rand(1, 64, 48, 3))"
    )
    for file, words in (
        ("u8.onnx", ("the input creates", "255/256", "it takes uint8 pixels")),
        ("nhwc.onnx", ("the input differs", "NHWC")),
    ):
        ran = _locate(w, "seg", file)
        assert ran.code == 1, ran.text
        assert all(word in " ".join(ran.out.split()) for word in words), ran.out
    return "exit 1, named"


@set_up("26c", "a difference after the last layer", "the output, after the last layer")
def after_the_last_layer(w: Workshop) -> str:
    w.network("seg", "Seg")
    w.python(
        f"{TORCH}\nspec, net = network('seg')\n"
        "class After(nn.Module):\n"
        "    def __init__(self, change):\n        super().__init__()\n"
        "        self.net, self.change = net, change\n"
        "    def forward(self, x):\n        return self.change(self.net(x))\n"
        "save(After(torch.sigmoid), spec, '0.onnx')\n"
        "save(After(lambda y: 0.5 * y), spec, '1.onnx')\n"
        "save(After(torch.logit), spec, '2.onnx')\n"
        "save(After(lambda y: y.permute(0, 2, 3, 1)), spec, '3.onnx')"
    )
    for i in range(4):
        ran = _locate(w, "seg", f"{i}.onnx")
        assert ran.code == 1, ran.text
        assert "the output mask, after the last layer" in " ".join(ran.out.split()), ran.out
    return "exit 1 four times, named"


@set_up("26d", "an int8 (QDQ) file", "no traceback, the largest step named")
def eight_bits(w: Workshop) -> str:
    w.network("seg", "Seg")
    w.python(
        f"{TORCH}\nspec, net = network('seg')\nsave(net, spec, 'seg.onnx')\n"
        "from onnxruntime.quantization import CalibrationDataReader, quantize_static\n"
        "class Reader(CalibrationDataReader):\n"
        "    def __init__(self):\n"
        "        draw = np.random.default_rng(0)\n"
        "        x = [draw.random((1, 3, 64, 48), dtype=np.float32) for _ in range(3)]\n"
        "        self.left = iter([{'x': one} for one in x])\n"
        "    def get_next(self):\n        return next(self.left, None)\n"
        "quantize_static('seg.onnx', 'seg.int8.onnx', Reader())"
    )
    ran = _locate(w, "seg", "seg.int8.onnx")
    assert ran.code in (0, 1), ran.text
    assert "largest step" in " ".join(ran.out.split()), ran.out
    return f"exit {ran.code}, the largest step named"


@set_up("35a", "one weight x 1.001, no lock; the gate with --locate", "stopped, the layer named")
def one_weight(w: Workshop) -> str:
    return _planted(
        w,
        "tensor = next(t for t in proto.graph.initializer if t.name == 'blocks.1.f1.weight.T')\n"
        "array = onnx.numpy_helper.to_array(tensor).copy()\n"
        "array.reshape(-1)[np.abs(array).argmax()] *= np.float32(1.001)\n"
        "tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))",
        "blocks.1.f1",
        "x 1.001",
    )


@set_up("35b", "one LayerNorm's eps 1e-5 for 1e-6, no lock; likewise", "stopped, the layer named")
def one_epsilon(w: Workshop) -> str:
    return _planted(
        w,
        "node = next(n for n in proto.graph.node if n.name == '/blocks.2/n/LayerNormalization')\n"
        "next(a for a in node.attribute if a.name == 'epsilon').f = 1e-5",
        "blocks.2.n",
        "epsilon 1e-05 in the file, 1e-06 in the network",
    )


def _planted(w: Workshop, change: str, layer: str, words: str) -> str:
    w.network("vit", "TinyViT", outputs=(("logits", ("batch", 10)),))
    images = w.images(12)
    assert w.run("export", "vit", "--stand-in", "a", "--out", "right").code == 0
    w.python(
        f"import numpy as np, onnx\nproto = onnx.load('right/vit.onnx')\n{change}\n"
        "import os\nos.makedirs('bad', exist_ok=True)\nonnx.save(proto, 'bad/vit.onnx')"
    )
    source = ("--stand-in", "a")
    for folder, wanted in (("right", False), ("bad", True)):
        options = () if folder == "right" else ("--candidate", "vit=bad/vit.onnx")
        place = ("--onnx-models", folder) if folder == "right" else ()
        w.run("parity", "run", "--models", "vit", *source, "--images", images, *options, *place)
        gate = ("reports/parity/parity.json", "--onnx-models", folder, "--json")
        ran = w.run("parity", "gate", *gate, "--locate", *source, "--images", images)
        assert ('"locate"' in ran.out.partition('"stopped_by"')[2]) == wanted, ran.text
        if wanted:
            assert ran.code == 1, ran.text
            assert f"{layer} " in ran.out, ran.out
            assert words in ran.out, ran.out
    return f"exit 1, {layer} named; the right file is not stopped by it"
