"""Exports: what is replaced, what is checked before a file exists, what a file can hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.wrong_answers.workshop import Ran, Workshop, set_up

REFUSED = 2
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
TOKENS = ("x", ("batch", "seq", 8))
SUMS = ("y", ("batch", "seq", 4))
POSITIONS = """
import torch
from torch import nn

class Positions(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 4)
    def forward(self, x):
        return self.linear(x) + torch.arange(int(x.shape[1]))[None, :, None]

class Length(Positions):
    def forward(self, x):
        return self.linear(x) / int(x.shape[1])
"""
BRANCHES = """
from networks import Seg

class IntBranch(Seg):
    def forward(self, x):
        y = super().forward(x)
        return y if int(x.shape[2]) <= 1000 else y * 0.9

class Area(Seg):
    def forward(self, x):
        y = super().forward(x)
        return y if x.shape[2] * x.shape[3] <= 700 * 700 else y * 0.9

class ByValue(Seg):
    def forward(self, x):
        return super().forward(x / 255 if x.max() > 1.5 else x)
"""
LARGE = """
import torch
from torch import nn

class Large(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(540_000, 1024))
    def forward(self, x):
        return x.mean(dim=(1, 2, 3))[:, None] * self.table[:, 0][None]
"""


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(ran: Ran, *texts: str) -> None:
    """Exit 2, and the message says all this."""
    assert ran.code == REFUSED, ran.text
    flat = " ".join(ran.text.split())
    for text in texts:
        assert text in flat, f"not said: {text!r} in {flat}"


def locked(w: Workshop, seed: str) -> Path:
    """A folder with a tiny network's file of a seed."""
    w.network("tiny", "Tiny")
    ran = w.run("export", "tiny", "--stand-in", seed)
    assert ran.code == 0, ran.text
    return w.folder / "onnx_models"


def both_commands(w: Workshop, *texts: str) -> str:
    """`export --missing-only` and `parity run` refuse, and nothing changes."""
    before = contents(w.folder / "onnx_models")
    refused(w.run("export", "tiny", "--missing-only"), *texts, "--replace")
    refused(w.run("parity", "run", "--models", "tiny", "--images", w.images()), *texts)
    assert contents(w.folder / "onnx_models") == before, "something was written or removed"
    return "both exit 2, nothing changed"


@set_up(
    "1", "a lock of other weights, its file missing", "exit 2, lock untouched, merge or --replace"
)
def lock_of_other_weights(w: Workshop) -> str:
    folder = locked(w, "a")
    (folder / "tiny.onnx").unlink()
    ended = both_commands(w, "tiny.lock.json", "--replace", "--stand-in a")
    assert w.run("export", "tiny", "--stand-in", "a", "--missing-only").code == 0
    return ended


@set_up("1b", "such a lock that cannot be read; and a variant's", "exit 2, nothing changed")
def unreadable_lock(w: Workshop) -> str:
    folder = locked(w, "golden")
    (folder / "tiny.onnx").unlink()
    (folder / "tiny.lock.json").write_text("<<<<<<< HEAD\n")
    ended = both_commands(w, "cannot be read")
    assert w.run("export", "tiny", "--stand-in", "a", "--variant", "plain").code == 0
    (folder / "tiny.plain.onnx").unlink()
    before = contents(folder)
    refused(w.run("export", "tiny", "--variant", "plain"), "tiny.plain.lock.json", "--replace")
    options = ("--models", "tiny", "--variant", "plain", "--size", "64", "--repeats", "5")
    options = (*options, "--images", w.images())
    refused(w.run("parity", "bench", *options), "--replace")
    assert contents(folder) == before, "bench wrote something"
    return ended


@set_up(
    "1c",
    "files of other weights: another seed, another checkpoint, by chance in weights/",
    "exit 2 with the exact command, done with --replace only",
)
def other_weights(w: Workshop) -> str:
    folder = locked(w, "golden")
    code = "import torch, networks; torch.save(networks.Tiny().state_dict(), '{}')"
    (w.folder / "weights").mkdir()
    for name in ("a.pth", "weights/tiny.pth"):
        w.python(code.format(w.folder / name))
    before = contents(folder)
    refused(w.run("export", "tiny", "--stand-in", "b"), "export tiny --stand-in b --replace")
    refused(w.run("export", "tiny", "--weights", "a.pth"), "tiny --weights a.pth --replace")
    w.network("tiny", "Tiny", files=["tiny.pth"])
    refused(w.run("export", "tiny"), "export tiny --weights weights/tiny.pth --replace")
    assert contents(folder) == before, "something was replaced"
    assert w.run("export", "tiny", "--replace").code == 0
    refused(w.run("export", "tiny", "--stand-in", "golden"), "not replaced", "--replace")
    return "exit 2 each; --replace replaces"


@set_up("2", "a lock and the pieces, the file missing", 'exit 2, "merge"')
def pieces_beside(w: Workshop) -> str:
    folder = locked(w, "golden")
    assert w.run("chunking", "split", "onnx_models/tiny.onnx").code == 0
    (folder / "tiny.onnx").unlink()
    ended = both_commands(w, "python -m chunking merge")
    (folder / "tiny.lock.json").unlink()
    return f"{ended}; {both_commands(w, 'python -m chunking merge')} without the lock"


@set_up("2b", "a git-lfs pointer, a .dvc file in the file's place", 'exit 2, "pull"')
def pointers(w: Workshop) -> str:
    folder = locked(w, "golden")
    (folder / "tiny.onnx").write_text(LFS)
    ended = both_commands(w, "git lfs pull")
    (folder / "tiny.onnx").unlink()
    (folder / "tiny.onnx.dvc").write_text("outs:\n- path: tiny.onnx\n")
    return f"{ended}; {both_commands(w, 'dvc pull')}"


@set_up("5", "arange(int(x.shape[1])), axes (batch, seq, 8)", "export refused")
def baked_length(w: Workshop) -> str:
    (w.site / "tokens.py").write_text(POSITIONS)
    for name, builder in (("positions", "Positions"), ("length", "Length")):
        w.network(name, f"tokens:{builder}", inputs=[TOKENS], outputs=[SUMS])
        refused(w.run("export", name, "--stand-in", "golden"), f"{name} at batch", "seq")
    assert not (w.folder / "onnx_models").exists()
    return "exit 2, axis and size named"


@set_up("17", "BigBranch: another way over 512 pixels", "refused by name, at 513")
def big_branch(w: Workshop) -> str:
    w.network("big", "BigBranch")
    ran = w.run("export", "big", "--stand-in", "golden")
    refused(ran, "513", "another way in Python (networks.py:")
    return "exit 2 at 513 pixels, with the line"


@set_up("17b", "a branch after int(), on the area, on values", "refused, or warned by name")
def other_branches(w: Workshop) -> str:
    (w.site / "branches.py").write_text(BRANCHES)
    for builder in ("IntBranch", "Area"):
        name = w.network(builder.lower(), f"branches:{builder}")
        refused(w.run("export", name, "--stand-in", "golden"), "another way", "branches.py:")
    name = w.network("byvalue", "branches:ByValue")
    ran = w.run("export", name, "--stand-in", "golden")
    assert ran.code == 0, ran.text
    assert "warning: byvalue decides in Python (branches.py:" in " ".join(ran.text.split())
    return "exit 2, exit 2, a warning with the line"


@set_up("28", "a network over 2 GB", "external data, both files in the lock")
def over_two_gigabytes(w: Workshop) -> str:
    (w.site / "large.py").write_text(LARGE)
    w.network("large", "large:Large", outputs=[("y", ("batch", 540_000))])
    file = w.folder / "large.pth"
    w.python(f"import torch; torch.save({{'table': torch.rand(540_000, 1024)}}, '{file}')")
    ran = w.run("export", "large", "--weights", "large.pth")
    assert ran.code == 0, ran.text
    file.unlink()
    folder = w.folder / "onnx_models"
    entry = json.loads((folder / "large.lock.json").read_text("utf-8"))["file"]
    (beside,) = entry["external"]
    size = (folder / "large.onnx.data").stat().st_size
    assert beside["size_bytes"] == size > 1 << 31, beside
    assert (folder / "large.onnx").stat().st_size == entry["size_bytes"] < 1 << 20
    return f"exit 0, {size} bytes in large.onnx.data"


@set_up("31", "Noisy and MCDrop: export, and as references", '"the network is random: ..."')
def random_networks(w: Workshop) -> str:
    for name, builder, operator in (
        ("noisy", "Noisy", "RandomNormalLike"),
        ("mcdrop", "MCDrop", "Dropout"),
    ):
        w.network(name, builder)
        ran = w.run("export", name, "--stand-in", "golden")
        refused(ran, f"the network is random: {operator}")
        w.network("tiny", "Tiny")
        assert w.run("export", "tiny", "--stand-in", "golden").code == 0
        shutil.copy(w.folder / "onnx_models/tiny.onnx", w.folder / "some.onnx")
        options = ("--models", name, "--stand-in", "golden", "--images", w.images())
        ran = w.run("parity", "run", *options, "--candidate", f"{name}=some.onnx")
        refused(ran, f"{name}: the network is random: {builder}")
    return "exit 2, operator and module named"
