"""Networks that take more than one RGB picture, by the commands: right files pass, others fail."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from PIL import Image

import trufor_onnx as tx
from trufor_onnx.errors import ParityError
from trufor_onnx.export.cli import main as export
from trufor_onnx.export.networks import registry, users
from trufor_onnx.parity.cli import main as parity

NETWORKS = '''
import torch
from torch import nn


class Wave(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 9, stride=4, padding=4)

    def forward(self, wave):
        return self.conv(wave.unsqueeze(1))


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.out = nn.Embedding(50, 8), nn.Linear(8, 4)

    def forward(self, ids, mask):
        shown = mask.unsqueeze(-1).to(self.out.weight.dtype)
        return self.out((self.embedding(ids) * shown).sum(1) / shown.sum(1).clamp(min=1.0))


class Three(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.label = nn.Conv2d(3, 8, 3, padding=1), nn.Embedding(10, 8)
        self.meta = nn.Linear(4, 8)

    def forward(self, image, meta, label):
        scaled = self.conv(image) * self.meta(meta)[:, :, None, None]
        return scaled + self.label(label)[:, :, None, None]


class Grey(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)

    def forward(self, x):
        return torch.tanh(self.conv(x))


class Half(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1).half()

    def forward(self, x):
        return torch.relu(self.conv(x))


class Rows(nn.Module):
    """Its recurrent layer rounds otherwise where it is watched."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 16, batch_first=True, bidirectional=True)

    def forward(self, x):
        return self.rnn(x.mean(2).transpose(1, 2))[0]
'''
TAKES_FEEDS = {"Wave": "wave", "Text": "text", "Three": "three.jsonl"}
NAMES = [*TAKES_FEEDS, "Grey", "Half", "Rows"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks, their weights, photographs, and inputs that are none."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "any_nets.py").write_text(NETWORKS)
    for name in ("wave", "text", "photos"):
        (folder / name).mkdir()
    draw, lines = np.random.default_rng(0), []
    for index in range(10):
        length = 9 + index % 4
        wave = draw.normal(size=(1, 200 * length)).astype(np.float32)
        np.savez(folder / "wave" / f"{index}.npz", wave=wave)
        ids, mask = draw.integers(0, 50, (1, length)), np.ones((1, length), np.int64)
        np.savez(folder / "text" / f"{index}.npz", ids=ids, mask=mask)
        pixels = draw.integers(0, 256, (24 + index, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{index}.png")
        meta = [draw.normal(size=4).tolist()]
        lines.append({"image": f"photos/{index}.png", "meta": meta, "label": [index]})
    (folder / "three.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(place)
    monkeypatch.setattr(registry, "_offered", {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv(users.VARIABLE, "")
    yield
    users.set_example({})
    sys.modules.pop("any_nets", None)


def words(name: str) -> list[str]:
    given = TAKES_FEEDS.get(name)
    return ["--weights", f"{name}.pth", *(["--feeds", given] if given else ["--images", "photos"])]


def weights(name: str) -> None:
    torch.manual_seed(4)
    users.set_example({})
    sys.path.insert(0, ".")
    state = getattr(__import__("any_nets"), name)().state_dict()
    trained = {key: (torch.randn(one.shape) * 0.3).to(one.dtype) for key, one in state.items()}
    torch.save(trained, f"{name}.pth")


@pytest.mark.filterwarnings("ignore:Exporting a model to ONNX with a batch_size")  # of LSTMs
@pytest.mark.parametrize("name", NAMES)
def test_a_right_file_passes_and_a_wrong_one_fails(name: str) -> None:
    weights(name)
    run = ["run", "--models", f"any_nets.py:{name}", *words(name), "--no-cache", "--out", name]
    assert parity(run) == 0
    report = json.loads(Path(name, "parity.json").read_text())
    model = f"any_nets_{name}"
    assert report["models"][model]["proof"] == "proven"
    yardstick = report["models"][model]["torch32"]
    assert yardstick.get("precision") == ("float16" if name == "Half" else None)
    if name in TAKES_FEEDS:
        assert report["environment"]["feeds"] == TAKES_FEEDS[name]
    assert parity(["gate", f"{name}/parity.json"]) == 0
    file = Path("onnx_models", f"{model}.onnx")
    proto = onnx.load(file)
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor).copy()
        if array.dtype.kind == "f" and array.size > 8:
            array.flat[2] += 0.05
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
            break
    onnx.save(proto, "wrong.onnx")
    wrong = ["--candidate", f"{model}=wrong.onnx"]
    assert parity([*run[:-1], "wrong", *wrong]) == 1
    look = ["locate", f"any_nets.py:{name}", *words(name)]
    if name == "Half":
        assert parity(look) == 2
    else:
        assert parity(look) == 0
        assert parity([*look, *wrong]) == 1


def test_an_export_from_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    weights("Text")
    given = ["any_nets.py:Text", "--weights", "Text.pth", "--example", "text/0.npz"]
    assert export([*given, "--out", "exported"]) == 0
    assert export(["check", *given, "--onnx-models", "exported"]) == 0
    users.set_example({})
    assert export(["any_nets.py:Text", "--weights", "Text.pth", "--out", "other"]) == 2
    assert "its forward takes ids, mask, not one picture" in capsys.readouterr().err


def test_a_bundle_of_feeds_serves_a_run_without_torch(capsys: pytest.CaptureFixture[str]) -> None:
    weights("Wave")
    given = ["--models", "any_nets.py:Wave", *words("Wave")]
    example = ["--weights", "Wave.pth", "--example", "wave/0.npz"]
    assert export(["any_nets.py:Wave", *example]) == 0
    assert parity(["reference", *given, "--out", "wave.bundle", "--no-cache"]) == 0
    assert parity(["run", *given, "--reference", "wave.bundle", "--out", "bundled"]) == 0
    report = json.loads(Path("bundled/parity.json").read_text())
    counts: dict[str, Any] = report["models"]["any_nets_Wave"]["references"]
    assert counts["from_bundle"] == 20 and counts["computed"] == 0
    assert "not in the bundle" not in capsys.readouterr().err


def test_feeds_of_one_length_are_too_few_for_a_release() -> None:
    weights("Text")
    Path("same").mkdir()
    for index in range(10):
        ids = np.random.default_rng(index).integers(0, 50, (1, 8))
        np.savez(f"same/{index}.npz", ids=ids, mask=np.ones((1, 8), np.int64))
    given = ["--weights", "Text.pth", "--feeds", "same", "--out", "few"]
    assert parity(["run", "--models", "any_nets.py:Text", *given]) == 0
    assert parity(["gate", "few/parity.json"]) == 1


def test_a_script() -> None:
    weights("Text")
    exported = tx.export("any_nets.py:Text", weights="Text.pth", out="script", example="text/0.npz")
    report = tx.compare("any_nets.py:Text", exported, feeds="text", cache=False)
    assert report.passed and tx.gate(report).exit_code == 0
    with pytest.raises(ParityError, match="nothing to compare on"):
        tx.compare("any_nets.py:Text", exported)


def test_the_runtime_takes_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    assert parity(["run", "--models", "runtime", "--feeds", "wave"]) == 2
    assert "the runtime takes pictures" in capsys.readouterr().err
