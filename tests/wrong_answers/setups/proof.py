"""Whose weights: forged locks, claims of origin, weights in a file beside the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.wrong_answers.workshop import Ran, Workshop, set_up

MANY = 10  # pictures, as many as the gate wants
CHECKPOINT = """
import torch, networks
torch.manual_seed(5)
net = networks.Tiny()
state = net.state_dict()
for name, tensor in state.items():
    if tensor.is_floating_point() and tensor.dim() == 1:
        tensor.copy_(0.5 + torch.rand(tensor.shape) if "var" in name or name == "bn.weight"
                     else 0.1 * torch.randn(tensor.shape))
torch.save({"network": state}, "trained.th")
"""
FORGE = """
import json, numpy as np, onnx
from onnx import TensorProto, helper, numpy_helper
from pathlib import Path
from trufor_onnx.export.lock import encode, file_entry
path = Path("onnx_models/tiny.onnx")
place = path.with_suffix(".lock.json")
lock = json.loads(place.read_text())
proto = onnx.load(path)
entries = {entry["name"]: entry for entry in lock["initializers"]}
"""
COVER = """
onnx.save(proto, path)
from trufor_onnx.chunking.initializers import read_contents
lock["initializers"] = [
    {**entries[name], "sha256": tensor.sha256}
    for name, tensor in sorted(read_contents(path).initializers.items())
]
lock["file"] = file_entry(path)
place.write_bytes(encode(lock))
"""
SCALED = """
folded = next(t for t in proto.graph.initializer
              if "fold" in entries[t.name]["transform"] and len(t.dims) == 4)
folded.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(folded) * np.float32(1.01),
                                        folded.name))
print(folded.name)
"""
BRANCH = """
output = proto.graph.output[0].name
last = next(node for node in proto.graph.node if output in node.output)
last.output[0] = "before"
value = helper.make_tensor("c", TensorProto.FLOAT, [], [1e-7])
proto.graph.node.append(helper.make_node("Constant", [], ["constant"], value=value))
proto.graph.node.append(helper.make_node("Add", ["before", "constant"], [output]))
"""
BIASES = """
bias = next(t for t in proto.graph.initializer
            if "fold" in entries[t.name]["transform"] and len(t.dims) == 1)
bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(1e-7), bias.name))
print(bias.name)
"""
NO_INITIALIZERS = """
for tensor in reversed(list(proto.graph.initializer)):
    proto.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
del proto.graph.initializer[:]
"""
OLDER = 'lock["toolchain"] = dict.fromkeys(lock["toolchain"], "0.1")\n'
LAX = """
[weights]
reason = "what is left of the rule where untrained tensors are no matter"
allow_untrained_looking = true
[cases]
reason = "a set-up"
least_images = 1
least_shapes = 1
"""


def forged(w: Workshop, *changes: str) -> str:
    """An export from a checkpoint, changed, with a lock that fits; what the changes print."""
    w.network("tiny", "Tiny")
    w.python(CHECKPOINT)
    assert w.run("export", "tiny", "--weights", "trained.th").code == 0
    return w.python(FORGE + "".join(changes) + COVER).strip()


def run(w: Workshop, *options: object) -> Ran:
    given = ("--models", "tiny", "--weights", "trained.th", "--images", w.images(MANY))
    return w.run("parity", "run", *given, *options)


def proof(w: Workshop, model: str = "tiny") -> str:
    return str(w.report()["models"][model]["proof"])


def gate_stops_by_weights(w: Workshop) -> None:
    (w.folder / "lax.toml").write_text(LAX)
    gate = w.run("parity", "gate", "--policy", "lax.toml", "--json")
    weights = next(r for r in json.loads(gate.out)["rules"] if r["rule"] == "weights")
    assert (gate.code, weights["outcome"]) == (1, "fail"), weights


def never_proven(w: Workshop, *changes: str) -> str:
    name = forged(w, *changes)
    ran = run(w)
    assert proof(w) != "proven", ran.text
    assert ran.code == 1, ran.text
    reason = w.report()["models"]["tiny"]["proof_reason"]
    assert name in reason, reason
    gate_stops_by_weights(w)
    return f"exit 1, {reason[:90]}"


@set_up(
    "4a",
    "a lock edited so that it fits a file of which one folded weight is scaled by 1.01",
    "fail, the tensor named; never proven; the gate stops",
)
def scaled_weight(w: Workshop) -> str:
    return never_proven(w, SCALED)


@set_up(
    "4b",
    "the same, and the lock names other versions of its makers",
    "fail, the tensor named; never proven; the gate stops",
)
def scaled_weight_of_other_makers(w: Workshop) -> str:
    return never_proven(w, SCALED, OLDER)


@set_up(
    "4c",
    "the same weight scaled, judged without torch by a bundle of the right checkpoint",
    "fail, the tensor named",
)
def scaled_weight_against_a_bundle(w: Workshop) -> str:
    name = forged(w, SCALED)
    images = w.images(MANY)
    given = ("--models", "tiny", "--images", images)
    made = w.run("parity", "reference", *given, "--weights", "trained.th", "--out", "b.bundle")
    assert made.code == 0, made.text
    ran = w.run("parity", "run", *given, "--reference", "b.bundle")
    reason = w.report()["models"]["tiny"]["proof_reason"]
    assert (ran.code, proof(w)) == (1, "other weights"), ran.text
    assert name in reason and "bundle" in reason, reason
    return f"exit 1, {reason[:90]}"


@set_up("22a", "a forged lock of a file with a branch of Constant nodes", "not proven")
def constant_branch(w: Workshop) -> str:
    return never_proven(w, BRANCH)


@set_up("22b", "a forged lock of a file with changed folded biases", "not proven")
def folded_biases(w: Workshop) -> str:
    return never_proven(w, BIASES)


@set_up("22c", "a forged lock of a file without any initializer", "not proven")
def no_initializers(w: Workshop) -> str:
    return never_proven(w, NO_INITIALIZERS)


@set_up(
    "22d",
    "a branch of Constant nodes, and a lock that names other versions of its makers",
    "not proven; the gate stops",
)
def constant_branch_of_other_makers(w: Workshop) -> str:
    forged(w, BRANCH, OLDER)
    ran = run(w)
    assert proof(w) == "as its lock says", ran.text
    assert "as its lock says" in ran.out, ran.out
    gate_stops_by_weights(w)
    return proof(w)


@set_up(
    "27",
    "a candidate and a file with its weights in .onnx.data beside it: run, locate, bench, files",
    "judged, with the digests of both; a changed or absent .data is said",
)
def external_data(w: Workshop) -> str:
    w.network("tiny", "Tiny")
    w.python(CHECKPOINT)
    assert w.run("export", "tiny", "--weights", "trained.th").code == 0
    w.python(
        "import onnx, os\nos.mkdir('theirs')\n"
        "onnx.save(onnx.load('onnx_models/tiny.onnx'), 'theirs/tiny.onnx', "
        "save_as_external_data=True, location='tiny.onnx.data', size_threshold=0)"
    )
    candidate = ("--candidate", "tiny=theirs/tiny.onnx")
    ran = run(w, *candidate)
    assert ran.code == 0, ran.text
    listed = w.report()["models"]["tiny"]["file"]["external"]
    assert [entry["name"] for entry in listed] == ["tiny.onnx.data"], listed
    given = ("tiny", "--weights", "trained.th", "--images", w.images(1), *candidate)
    located = w.run("parity", "locate", *given)
    assert located.code == 0, located.text
    staged = w.run("parity", "files", "theirs/tiny.onnx", "theirs/tiny.onnx.data")
    assert "nobody proved whose weights" in staged.text, staged.text
    bench = w.run(
        *("parity", "bench", "--models", "tiny", "--weights", "trained.th", *candidate),
        *("--size", "32x32", "--repeats", "6", "--images", w.images(1)),
    )
    assert bench.code == 0, bench.text
    data = w.folder / "theirs" / "tiny.onnx.data"
    changed = bytearray(data.read_bytes())
    changed[-2] ^= 0x40
    data.write_bytes(changed)
    before = listed[0]["sha256"]
    ran = run(w, *candidate)
    assert w.report()["models"]["tiny"]["file"]["external"][0]["sha256"] != before
    data.unlink()
    ran = run(w, *candidate)
    assert ran.code == 2 and "tiny.onnx.data, which is not there" in ran.err, ran.text
    return "judged; both digests; an absent .data is exit 2"


@set_up(
    "33",
    "a checkpoint completed at random, saved whole as trufor.pth.tar",
    'never "by GRIP-UNINA"; fresh tensors named; gate stops',
)
def completed_at_random(w: Workshop) -> str:
    w.python(
        "import torch\nfrom trufor_onnx.export.networks.registry import find\n"
        "from trufor_onnx.export.weights.standin import stand_in_state\n"
        "torch.manual_seed(3)\n"
        "net = find('noiseprint_pp').build()\n"
        "state = net.state_dict()\n"
        "given = stand_in_state('trained', {k: tuple(v.shape) for k, v in state.items()})\n"
        "for name in state:\n"
        "    if int(name.split('.')[0]) < 20:\n"
        "        state[name] = torch.from_numpy(given[name]).reshape(state[name].shape)\n"
        "torch.save({'network': {'dncnn.' + k: v for k, v in state.items()}}, 'trufor.pth.tar')"
    )
    given = ("--weights", "trufor.pth.tar")
    made = w.run("export", "noiseprint_pp", *given)
    assert made.code == 0, made.text
    images = w.images(MANY)
    ran = w.run("parity", "run", "--models", "noiseprint_pp", *given, "--images", images)
    assert ran.code in (0, 1), ran.text
    assert "look untrained" in ran.out, ran.out
    gate = w.run("parity", "gate", "--explain")
    assert gate.code == 1 and "look untrained" in gate.out, gate.text
    refused = w.run("parity", "release", "1", "--although", "a test")
    assert refused.code == 2 and "under which terms" in refused.text, refused.text
    options = ("--although", "a test", "--weights-licence", "ours")
    released = w.run("parity", "release", "1", *options)
    assert released.code == 0, released.text
    card = (w.folder / "dist" / "models-1" / "MODEL_CARD.md").read_text("utf-8")
    assert "GRIP" not in card, card
    assert "origin not known" in card and "look untrained" in card, card
    shutil.rmtree(Path(w.folder / "dist"))
    return "gate 1; the card: origin not known, fresh tensors named"
