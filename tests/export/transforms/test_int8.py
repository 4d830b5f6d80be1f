"""8-bit layers are chosen by measured error, and a file that is not worth it is not written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trufor_onnx.errors import ExportError
from trufor_onnx.export.build import build_file, export_model
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.transforms import int8 as quantise
from trufor_onnx.export.transforms.int8 import CALIBRATE, JUDGE, SIDE, choose, picture_feeds
from trufor_onnx.export.weights.sources import WeightsSource

SEED = WeightsSource(stand_in="s")
COSTS = {"a": 30, "b": 40, "c": 30}


class Known:
    """Answers as a quantiser would: each layer has its own loss."""

    def __init__(self, **losses: float) -> None:
        self.losses = losses
        self.asked: list[tuple[str, ...]] = []

    def correlation(self, names: Sequence[str]) -> float:
        self.asked.append(tuple(names))
        return 1.0 - sum(self.losses[name] for name in names)


def test_the_least_sensitive_layers_are_taken_while_the_budget_holds() -> None:
    known = Known(a=0.0006, b=0.0003, c=0.0005)
    chosen, correlation = choose(known, COSTS)  # type: ignore[arg-type]  # answers like one
    assert chosen == ["b", "c"]  # in the graph's order; a would make it 0.0014
    assert correlation == pytest.approx(0.9992)


def test_too_little_work_is_refused_with_figures() -> None:
    known = Known(a=0.0002, b=0.3, c=0.1)
    with pytest.raises(ExportError) as caught:
        choose(known, {"a": 10, "b": 60, "c": 30})  # type: ignore[arg-type]  # as above
    assert "1 of 3 convolutions fit the error budget" in str(caught.value)
    assert "b alone leaves 0.700" in str(caught.value)
    assert "10% of the work, a gain of 1.06 at best" in str(caught.value)


def test_a_layer_beyond_the_budget_is_never_taken() -> None:
    known = Known(a=float("nan"), b=0.5, c=0.5)
    with pytest.raises(ExportError, match="0 of 3 convolutions"):
        choose(known, COSTS)  # type: ignore[arg-type]  # as above


def test_constant_outputs_have_no_correlation() -> None:
    flat, line = np.zeros(9), np.arange(9.0)
    assert quantise._correlation(flat, line) == 0.0
    assert quantise._correlation(line, line) == pytest.approx(1.0)


def test_judged_by_other_pictures_than_calibrated_on() -> None:
    feeds = [*picture_feeds("image", CALIBRATE), *picture_feeds("image", JUDGE)]
    assert [given["image"].shape for given in feeds] == [(1, 3, SIDE, SIDE)] * 8
    assert all(0 <= given["image"].min() < given["image"].max() < 1 for given in feeds)
    assert len({given["image"].tobytes() for given in feeds}) == 8


def test_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="holds too few pictures"):
        picture_feeds("image", CALIBRATE, folder=tmp_path)


def test_a_file_within_its_budget(
    tiny: dict[str, ModelSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wide budget, so that the tiny network passes: what is written is proven all the same."""
    monkeypatch.setattr(quantise, "LEAST_CORRELATION", 0.5)
    spec = tiny["noiseprint_pp"]
    result = export_model(spec, SEED, tmp_path, variant="int8")
    assert result.path.name == "noiseprint_pp.int8.onnx"
    document: dict[str, Any] = build_file(spec, SEED, variant="int8").document
    assert document["file"]["sha256"] == result.sha256
    entries = {entry["name"]: entry for entry in document["initializers"]}
    quantised = [entry for entry in entries.values() if entry["dtype"] == "int8"]
    assert any(entry["transform"].endswith("int8") and entry["sources"] for entry in quantised)
    assert document["toolchain"]["onnxruntime"]


def test_a_file_beyond_its_budget_is_not_written(
    tiny: dict[str, ModelSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantise, "LEAST_CORRELATION", 1.0)
    with pytest.raises(ExportError, match="of 4 convolutions fit the error budget"):
        export_model(tiny["noiseprint_pp"], SEED, tmp_path, variant="int8")
    assert not list(tmp_path.iterdir())


def test_only_noiseprint_is_quantised(tiny: dict[str, ModelSpec]) -> None:
    with pytest.raises(ExportError, match="the variant int8 is made for noiseprint_pp only"):
        build_file(tiny["mit_b2"], SEED, variant="int8")
