"""The runtime judged like a network: tiny files under the real networks' names."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trufor_onnx.export.build import export_model
from trufor_onnx.export.models.mit_b2 import EncoderConfig
from trufor_onnx.export.models.noiseprint_pp import NoiseprintConfig
from trufor_onnx.export.models.trufor import TruForConfig
from trufor_onnx.export.networks.registry import NOISEPRINT_PP, TRUFOR, TRUFOR_HEAD
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.cli import main
from trufor_onnx.parity.runners.detector_runner import DetectorRunner

ENCODER = EncoderConfig(
    channels=(4, 8, 12, 16), depths=(1, 1, 1, 1), heads=(1, 2, 3, 4), reductions=(8, 4, 2, 1)
)
DNCNN = NoiseprintConfig(depth=3, width=4)
CONFIG = {"config": TruForConfig(noiseprint=DNCNN, encoder=ENCODER, decoder_width=6, score_width=5)}
NP = replace(NOISEPRINT_PP, builder_arguments={"config": DNCNN}, files=())
WHOLE = replace(TRUFOR, builder_arguments=CONFIG, files=())
HEAD = replace(TRUFOR_HEAD, builder_arguments=CONFIG, files=())
SPECS = {spec.name: spec for spec in (NP, WHOLE, HEAD)}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's older tracer
        for spec in (NP, HEAD):
            export_model(spec, WeightsSource(stand_in="golden"), folder)
    return folder


@pytest.fixture
def folder(built: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The tiny files in a folder, and their networks in place of the real ones."""
    monkeypatch.setattr("trufor_onnx.export.networks.registry.registered", lambda: SPECS)
    for name, spec in (("NOISEPRINT_PP", NP), ("TRUFOR", WHOLE), ("TRUFOR_HEAD", HEAD)):
        monkeypatch.setattr(f"trufor_onnx.parity.references.subject.{name}", spec)
    return Path(shutil.copytree(built, tmp_path / "onnx_models"))


@pytest.fixture
def run(folder: Path, make_images: Callable[..., Path], tmp_path: Path) -> Callable[..., Any]:
    def run(*options: str) -> tuple[int, dict[str, Any]]:
        out = tmp_path / "out"
        given = ["run", "--models", "runtime", "--images", str(make_images(2)), "--no-cache"]
        given += ["--stand-in", "golden", "--onnx-models", str(folder), "--out", str(out)]
        code = main([*given, *options])
        report = out / "parity.json"
        return code, json.loads(report.read_text()) if report.is_file() else {}

    return run


def test_the_whole_path_agrees_with_torch_on_images_and_shapes(run: Callable[..., Any]) -> None:
    code, report = run()
    assert code == 0
    rows = [row for row in report["rows"] if row["backend"] == "onnxruntime"]
    assert {row["model"] for row in rows} == {"runtime"}
    assert sorted({row["output"] for row in rows}) == ["conf", "map", "noiseprint", "score"]
    assert all(row["status"] == "pass" and row["proof"] == "proven" for row in rows)
    assert any(row["shape"][0] == 2 for row in report["shape_rows"])
    parts = report["models"]["runtime"]["file"]["parts"]
    assert [part["name"] for part in parts] == ["noiseprint_pp.onnx", "trufor_head.onnx"]


def test_another_scale_in_the_runtime_is_seen(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trufor_onnx.runtime.detector.to_input", _divided_by_255)
    code, report = run("--no-shapes")
    assert code == 1
    assert any(row["status"] == "fail" for row in report["rows"])


def _divided_by_255(rgb: Any, _contract: Any) -> Any:
    found = rgb.astype(np.float32) / np.float32(255)
    return found.transpose(2, 0, 1)[np.newaxis]


def test_other_weights_are_refused_before_anything_runs(
    run: Callable[..., Any], folder: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's older tracer
        export_model(HEAD, WeightsSource(stand_in="other"), folder, replace=True)
    code, report = run("--no-shapes")
    assert code == 1
    failed = [row for row in report["rows"] if row["status"] == "fail"]
    assert failed and all("other" in row["reason"] for row in failed)
    assert all(row["mae"] is None for row in failed)


def test_a_missing_part_and_foreign_options_are_errors(
    run: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--variant", "fp16")[0] == 2
    assert "trufor_head" in capsys.readouterr().err
    assert run("--pixel-scale", "255")[0] == 2
    assert "own files and scale" in capsys.readouterr().err


def test_files_that_change_after_the_check_do_not_run(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def other(*arguments: Any, **rest: Any) -> DetectorRunner:
        return DetectorRunner(*arguments, **rest | {"sha256": ("0" * 64, "1" * 64)})

    monkeypatch.setattr("trufor_onnx.parity.running.side_by_side.DetectorRunner", other)
    assert run("--no-shapes")[0] == 2
    assert "other files than those that were checked" in capsys.readouterr().err
