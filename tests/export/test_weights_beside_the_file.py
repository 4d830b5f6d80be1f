"""Weights that a file cannot hold are in one beside it: whole, in order, and in the lock."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from trufor_onnx.errors import ExportError
from trufor_onnx.export.build import build_file, export_model
from trufor_onnx.export.check import check_file
from trufor_onnx.export.graph import finish as external
from trufor_onnx.export.lock import lock_path, read_lock
from trufor_onnx.export.networks.spec import ModelSpec, TensorSpec
from trufor_onnx.export.variants import DEFAULT_VARIANT
from trufor_onnx.export.weights.sources import WeightsSource

Specs = dict[str, ModelSpec]
SEED = WeightsSource(stand_in="s")


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "MOST_INSIDE", 2000)


def tensors(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    proto = onnx.load(path)
    return {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("noiseprint_pp", DEFAULT_VARIANT),
        pytest.param("noiseprint_pp", "ort", marks=pytest.mark.slow),
        pytest.param("trufor", DEFAULT_VARIANT, marks=pytest.mark.slow),
    ],
)
def test_the_same_network_in_two_files(
    name: str, variant: str, tiny: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tiny[name]
    result = export_model(spec, SEED, tmp_path, variant=variant)
    data = result.path.with_name(f"{result.path.name}.data")
    locked = read_lock(result.path)
    assert locked is not None
    content = data.read_bytes()
    entry = {
        "name": data.name,
        "size_bytes": len(content),
        "sha256": sha256(content).hexdigest(),
    }
    assert locked["file"]["external"] == [entry]
    assert result.size_bytes == result.path.stat().st_size + len(content)
    proto = onnx.load(result.path, load_external_data=False)
    outside = [t for t in proto.graph.initializer if t.external_data]
    for tensor in outside:
        place = {e.key: e.value for e in tensor.external_data}
        assert place["location"] == data.name
        assert int(place["offset"]) % 4096 == 0
        assert int(place["length"]) >= external.LEAST_OUTSIDE
    onnx.checker.check_model(str(result.path), full_check=True)
    monkeypatch.setattr(external, "MOST_INSIDE", 1 << 30)
    (tmp_path / "whole").mkdir()
    whole = export_model(spec, SEED, tmp_path / "whole", variant=variant)
    assert whole.path.stat().st_size > result.path.stat().st_size
    ours, theirs = tensors(result.path), tensors(whole.path)
    assert sorted(ours) == sorted(theirs)
    for key, array in ours.items():
        assert np.array_equal(array, theirs[key])
    inside = read_lock(whole.path)
    assert inside is not None
    assert "external" not in inside["file"]
    assert {**locked, "file": 0} == {**inside, "file": 0}


@pytest.mark.usefixtures("little_room", "tiny_registry")
def test_the_same_bytes_again_and_kept_only_whole(tiny: Specs, tmp_path: Path) -> None:
    spec = tiny["noiseprint_pp"]
    first = export_model(spec, SEED, tmp_path)
    data = tmp_path / "noiseprint_pp.onnx.data"
    before = data.read_bytes(), first.path.read_bytes(), lock_path(first.path).read_bytes()
    assert export_model(spec, SEED, tmp_path, missing_only=True).seconds == 0
    assert check_file(first.path, SEED).outcome == 0
    for damage in (data.unlink, lambda: data.write_bytes(before[0][:-1] + b"\1")):
        damage()
        finding = check_file(first.path, SEED)
        assert finding.outcome == 1, finding
        assert export_model(spec, SEED, tmp_path, missing_only=True).seconds > 0
        assert before == (
            data.read_bytes(),
            first.path.read_bytes(),
            lock_path(first.path).read_bytes(),
        )


@pytest.mark.usefixtures("little_room")
def test_a_damaged_weight_is_found_before_it_is_written(
    tiny: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = external.Outside.blocks

    def shifted(self: external.Outside) -> Any:
        blocks = list(original(self))
        return [memoryview(bytes(len(block))) for block in blocks[:2]] + blocks[2:]

    monkeypatch.setattr(external.Outside, "blocks", shifted)
    with pytest.raises(ExportError, match="off by"):
        export_model(tiny["noiseprint_pp"], SEED, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_stranger_beside_is_kept_and_ours_goes_with_its_file(
    tiny: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tiny["noiseprint_pp"]
    data = tmp_path / "noiseprint_pp.onnx.data"
    data.write_text("mine")
    export_model(spec, SEED, tmp_path).path.unlink()  # all inside: the stranger is no concern
    (tmp_path / "noiseprint_pp.lock.json").unlink()
    monkeypatch.setattr(external, "MOST_INSIDE", 2000)
    with pytest.raises(ExportError, match="is there without its ONNX file"):
        export_model(spec, SEED, tmp_path)
    assert data.read_text() == "mine"
    export_model(spec, SEED, tmp_path, replace=True)
    assert data.stat().st_size > 2000
    monkeypatch.setattr(external, "MOST_INSIDE", 1 << 30)
    export_model(spec, SEED, tmp_path)
    assert not data.exists()


@pytest.mark.usefixtures("little_room")
def test_no_room_for_the_check(
    tiny: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(external.Outside, "write", full)
    with pytest.raises(ExportError, match="no room to check") as refusal:
        export_model(tiny["noiseprint_pp"], SEED, tmp_path)
    assert "TMPDIR" in refusal.value.hint


class Tall(nn.Module):
    """Over 2 GiB of weights and next to no arithmetic."""

    def __init__(self, rows: int = 540_000) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(rows, 1024))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = image.mean(dim=(1, 2, 3))[:, None] * self.table[:, 0][None]
        return found


@pytest.mark.slow
def test_over_two_gigabytes(tmp_path: Path) -> None:
    spec = ModelSpec(
        name="tall",
        title="",
        version="1",
        inputs=(TensorSpec("image", ("batch", 3, "height", "width"), ""),),
        outputs=(TensorSpec("sums", ("batch", 540_000), ""),),
        builder=f"{__name__}:Tall",
    )
    generator = torch.Generator().manual_seed(1)
    path = tmp_path / "tall.pth"
    torch.save({"table": torch.rand(540_000, 1024, generator=generator)}, path)
    result = export_model(spec, WeightsSource(path), tmp_path)
    path.unlink()
    assert result.size_bytes > 1 << 31
    assert result.path.stat().st_size < 1 << 20
    session = onnxruntime.InferenceSession(str(result.path), providers=["CPUExecutionProvider"])
    image = np.ones((1, 3, 8, 8), np.float32)
    (found,) = session.run(None, {"image": image})
    data = np.memmap(tmp_path / "tall.onnx.data", "<f4", "r", shape=(540_000, 1024))
    assert np.array_equal(found[0], data[:, 0])


def test_small_networks_keep_all_inside(tiny: Specs) -> None:
    assert build_file(tiny["noiseprint_pp"], SEED).outside is None
