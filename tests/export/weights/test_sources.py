"""Weights are looked for in one order, and what was chosen by name is never replaced silently."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from trufor_onnx.errors import CoverageError, ExportError
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights import sources
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.export.weights.tensors import Weights, stand_in_weights

Specs = dict[str, ModelSpec]


def save(path: Path, spec: ModelSpec, seed: str) -> Path:
    """A checkpoint of a tiny network at ``path``, told apart by its seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": dict(stand_in_weights(spec, spec.build(), seed).tensors)}, path)
    return path


def weights(spec: ModelSpec, source: WeightsSource) -> Weights:
    return source.weights_for(spec, spec.build())


def seed_of(found: Weights, spec: ModelSpec, *seeds: str) -> str:
    """Which of the seeds a checkpoint was made from."""
    digests = {stand_in_weights(spec, spec.build(), seed).digest: seed for seed in seeds}
    return digests[found.digest]


def test_nothing_there(tiny: Specs) -> None:
    found = weights(tiny["trufor"], WeightsSource())
    assert found.label == "stand-in weights (seed golden)"


def test_the_order_of_places(tiny: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny["trufor"]
    places = "default", "variable", "option"
    save(Path("weights/trufor.pth.tar"), spec, "default")
    assert seed_of(weights(spec, WeightsSource()), spec, *places) == "default"
    monkeypatch.setenv("TRUFOR_WEIGHTS", str(save(tmp_path / "v/any.name", spec, "variable")))
    assert seed_of(weights(spec, WeightsSource()), spec, *places) == "variable"
    option = save(tmp_path / "o/any.name", spec, "option")
    assert seed_of(weights(spec, WeightsSource(option)), spec, *places) == "option"


def test_folders(tiny: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny["trufor"]
    path = save(tmp_path / "folder/trufor.pth.tar", spec, "a")
    assert weights(spec, WeightsSource(path.parent)).kind == "checkpoint"
    monkeypatch.setenv("TRUFOR_WEIGHTS", str(path.parent))
    assert weights(spec, WeightsSource()).kind == "checkpoint"


def test_the_best_file_of_a_folder_comes_first(tiny: Specs, tmp_path: Path) -> None:
    spec = tiny["noiseprint_pp"]
    save(tmp_path / "trufor.pth.tar", tiny["trufor"], "whole")
    assert seed_of(weights(spec, WeightsSource(tmp_path)), spec, "whole", "own") == "whole"
    save(tmp_path / "noiseprint++.th", spec, "own")
    assert seed_of(weights(spec, WeightsSource(tmp_path)), spec, "whole", "own") == "own"


def test_a_variables_folder_without_this_network_leaves_the_default(
    tiny: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUFOR_WEIGHTS", str(tmp_path))
    spec = tiny["trufor"]
    assert weights(spec, WeightsSource()).kind == "stand-in"
    save(Path("weights/trufor.pth.tar"), spec, "a")
    assert weights(spec, WeightsSource()).kind == "checkpoint"


def test_a_chosen_folder_without_this_network_is_an_error(tiny: Specs, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"--weights .*: no weights for mit_b2 in this folder"):
        weights(tiny["mit_b2"], WeightsSource(tmp_path))


def test_a_chosen_path_that_is_not_there_is_an_error(
    tiny: Specs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ExportError, match="--weights absent: there is no such file or folder"):
        weights(tiny["mit_b2"], WeightsSource(Path("absent")))
    monkeypatch.setenv("TRUFOR_WEIGHTS", "gone")
    with pytest.raises(ExportError, match=r"\$TRUFOR_WEIGHTS gone: there is no such file"):
        weights(tiny["mit_b2"], WeightsSource())


def test_a_file_that_does_not_suit_is_an_error_not_a_fallback(
    tiny: Specs, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(Path("weights/trufor.pth.tar"), tiny["noiseprint_pp"], "a")
    with pytest.raises(CoverageError):
        weights(tiny["trufor"], WeightsSource())
    monkeypatch.setenv("TRUFOR_WEIGHTS", str(path))
    with pytest.raises(CoverageError):
        weights(tiny["mit_b2"], WeightsSource())


def test_a_seed_alone_looks_at_no_file(tiny: Specs) -> None:
    spec = tiny["trufor"]
    save(Path("weights/trufor.pth.tar"), spec, "file")
    assert weights(spec, WeightsSource(stand_in="s")).label == "stand-in weights (seed s)"


@pytest.mark.parametrize("seed", ["", "\udcff"])
def test_seeds_must_be_text(seed: str, tiny: Specs) -> None:
    with pytest.raises(ExportError, match="--stand-in needs a seed"):
        weights(tiny["noiseprint_pp"], WeightsSource(stand_in=seed))


def test_models_of_one_command_share_one_load(
    tiny: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "trufor.pth.tar", tiny["trufor"], "a")
    loads = []
    original = sources.load_checkpoint

    def counting(file: Path, inside: str = "") -> object:
        loads.append(file)
        return original(file, inside)

    monkeypatch.setattr(sources, "load_checkpoint", counting)
    source = WeightsSource(tmp_path)
    for spec in tiny.values():
        assert weights(spec, source).file_sha256
    weights(tiny["trufor"], WeightsSource(path))
    assert loads == [path, path]  # one of the folder's source, one of the other


def test_a_set_is_chosen_after_a_colon(tmp_path: Path, tiny: Specs) -> None:
    spec = tiny["noiseprint_pp"]
    state = {n: t.clone() for n, t in spec.build().state_dict().items()}
    ema = {name: t + 1 for name, t in state.items()}
    path = tmp_path / "mine.pth"
    torch.save({"state_dict": state, "state_dict_ema": ema}, path)
    plain = weights(spec, WeightsSource(path))
    average = weights(spec, WeightsSource(Path(f"{path}:state_dict_ema")))
    assert (plain.container, average.container) == ("state_dict", "state_dict_ema")
    assert plain.digest != average.digest
    assert plain.file_sha256 == average.file_sha256
    odd = tmp_path / "odd:name.pth"
    torch.save(state, odd)
    assert weights(spec, WeightsSource(odd)).digest == plain.digest


def test_the_index_of_shards_is_found_in_a_folder(tmp_path: Path, tiny: Specs) -> None:
    spec = tiny["noiseprint_pp"]
    state = {n: t.clone() for n, t in spec.build().state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "model-1.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(state, "model-1.safetensors")}))
    found = weights(spec, WeightsSource(tmp_path))
    assert found.file == index.name
    assert found.tensors.keys() == state.keys()
