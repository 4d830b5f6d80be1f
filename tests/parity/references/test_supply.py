"""A second run computes no reference, builds no network and loads no checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.inputs.cases import KINDS
from trufor_onnx.parity.references import keys, networks
from trufor_onnx.parity.references import supply as live
from trufor_onnx.parity.runners.torch_runner import TorchRunner

Figures = list[tuple[Any, ...]]


@pytest.fixture(autouse=True)
def images(make_images: Callable[..., Path]) -> Path:
    return make_images(2)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what was built, loaded or run by torch, in order."""
    made: list[str] = []
    build, run, load = ModelSpec.build, TorchRunner.run, WeightsSource.weights_for

    def watched_build(spec: ModelSpec) -> Any:
        made.append(f"build {spec.name}")
        return build(spec)

    def watched_run(runner: TorchRunner, feeds: Any) -> Any:
        made.append(f"run {runner._spec.name} {runner.backend}")
        return run(runner, feeds)

    def watched_load(source: WeightsSource, spec: ModelSpec, module: Any) -> Any:
        made.append(f"load {spec.name}")
        return load(source, spec, module)

    monkeypatch.setattr(ModelSpec, "build", watched_build)
    monkeypatch.setattr(TorchRunner, "run", watched_run)
    monkeypatch.setattr(WeightsSource, "weights_for", watched_load)
    return made


def figures(report: dict[str, Any]) -> Figures:
    rows = report["rows"] + report["shape_rows"]
    keys = ("model", "variant", "image", "backend", "output", "status", "mae", "mae_torch32")
    return [tuple(row[key] for key in keys) for row in rows]


@pytest.mark.parametrize("model", ["tiny_np", "tiny_mit"])
def test_a_second_run_computes_nothing_and_finds_the_same(
    parity: Any, exported: Callable[[str], Path], calls: list[str], model: str
) -> None:
    exported(model)
    first = parity("--models", model)
    assert first.code == 0
    assert calls
    counts = first.report["models"][model]["references"]
    assert counts["computed"] > 0
    assert counts["corrupt"] == 0
    calls.clear()
    second = parity("--models", model)
    assert calls == []
    assert figures(second.report) == figures(first.report)
    again = second.report["models"][model]["references"]
    assert again["computed"] == again["corrupt"] == 0
    assert again["from_cache"] >= counts["computed"] - 1
    assert f"references: {again['from_cache']} from cache" in second.out
    told = [report["models"][model]["torch32"] for report in (first.report, second.report)]
    assert told[0] == told[1]


def test_without_a_cache_everything_is_computed_each_time(
    parity: Any, exported: Callable[[str], Path], calls: list[str], tmp_path: Path
) -> None:
    exported("tiny_np")
    parity("--no-cache", shapes=False)
    once = len(calls)
    calls.clear()
    ran = parity("--no-cache", shapes=False)
    assert len(calls) == once > 0
    assert ran.report["models"]["tiny_np"]["references"]["from_cache"] == 0
    assert not (tmp_path / ".cache").exists()


def test_the_cache_lies_where_it_is_told(
    parity: Any,
    exported: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exported("tiny_np")
    monkeypatch.setenv("TRUFOR_CACHE", str(tmp_path / "by_variable"))
    parity(shapes=False)
    parity("--cache", "by_option", shapes=False)
    assert list((tmp_path / "by_variable").rglob("*.ref"))
    assert list((tmp_path / "by_option").rglob("*.ref"))
    assert not (tmp_path / ".cache").exists()
    assert parity("--cache-limit", "a lot").code == 2


def test_the_noiseprint_that_feeds_another_network_is_computed_once(
    parity: Any, exported: Callable[[str], Path], calls: list[str]
) -> None:
    """One float64 map an image, shared by the network itself and by those it feeds."""
    for name in ("tiny_np", "tiny_mit"):
        exported(name)
    parity("--models", "tiny_np", "tiny_mit", shapes=False)
    # Two images and the made ones, the trial that both share, and the trial on a second build.
    assert calls.count("run tiny_np torch64") == 2 + len(KINDS) + 1 + 1


@pytest.mark.parametrize(
    "place",
    ["weights", "scale", "version", "torch", "threads", "instructions", "code", "pixels"],
)
def test_whatever_decides_a_reference_makes_another_key(
    parity: Any,
    exported: Callable[[str], Path],
    calls: list[str],
    monkeypatch: pytest.MonkeyPatch,
    images: Path,
    place: str,
) -> None:
    exported("tiny_np")
    parity(shapes=False)
    calls.clear()
    given: list[str] = []
    if place == "weights":
        given = ["--stand-in", "another"]
    elif place == "scale":
        given = ["--pixel-scale", "255"]
    elif place == "torch":
        monkeypatch.setattr(keys, "package_version", lambda _: "9.9")
    elif place == "threads":
        given = ["--threads", "2"]
    elif place == "instructions":
        monkeypatch.setattr(live, "machine", lambda **_: {"processor": "another"})
    elif place == "code":
        monkeypatch.setattr(keys, "code_digest", lambda: "0" * 64)
    elif place == "pixels":
        from PIL import Image

        for path in images.iterdir():
            pixels = np.asarray(Image.open(path)).copy()
            pixels[0, 0, 0] ^= 1
            Image.fromarray(pixels).save(path)
    else:
        monkeypatch.setattr(networks, "network", lambda spec: {"model": spec.name, "version": "2"})
    parity(*given, shapes=False)
    assert any(call.startswith("run tiny_np torch32") for call in calls)


def test_a_corrupt_entry_is_computed_again_and_counted(
    parity: Any, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    """A reference that was made equal to a wrong output would let that output pass."""
    exported("tiny_np")
    first = parity(shapes=False)
    largest = max((tmp_path / ".cache").rglob("*.ref"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[100] ^= 0x40
    largest.write_bytes(bytes(data))
    second = parity(shapes=False)
    assert figures(second.report) == figures(first.report)
    counts = second.report["models"]["tiny_np"]["references"]
    assert (counts["corrupt"], counts["computed"]) == (1, 1)
    assert "1 computed, 1 corrupt" in second.out
    third = parity(shapes=False)
    assert third.report["models"]["tiny_np"]["references"]["corrupt"] == 0


def test_weights_that_change_under_the_run_are_refused(
    parity: Any, exported: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    exported("tiny_np")
    parity(shapes=False)
    from trufor_onnx.export.weights import standin
    from trufor_onnx.export.weights import tensors as weights

    def other(seed: str, name: str, shape: tuple[int, ...]) -> Any:
        return standin.stand_in_tensor(seed + "x", name, shape)

    monkeypatch.setattr(weights, "stand_in_tensor", other)
    ran = parity("--pixel-scale", "255", shapes=False)
    assert (ran.code, ran.report) == (2, {})
    assert "changed since they were digested" in ran.err


def test_the_report_has_no_paths_of_the_cache(
    parity: Any, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    exported("tiny_np")
    ran = parity(shapes=False)
    assert str(tmp_path) not in json.dumps(ran.report)


def test_of_code_that_cannot_be_followed_nothing_is_stored(
    parity: Any,
    exported: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A wrong hit would let a wrong file pass; computing anew costs only time."""
    exported("tiny_np")
    unseen = keys.Closure({}, {}, ("it changes sys.path",))
    monkeypatch.setattr(keys, "builder_closure", lambda _: unseen)
    for _ in range(2):
        ran = parity(shapes=False)
        assert ran.code == 0
        counts = ran.report["models"]["tiny_np"]["references"]
        assert (counts["from_cache"], counts["computed"] > 0) == (0, True)
    assert not list(tmp_path.rglob("*.ref"))


def test_nothing_is_stored_where_building_loads_what_no_import_names(
    parity: Any, exported: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exported("tiny_np")
    build = ModelSpec.build
    (tmp_path / "hidden_blocks.py").write_text("x = 1\n")

    def load_more(spec: ModelSpec) -> Any:
        import importlib
        import sys

        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(tmp_path))
            sys.modules.pop("hidden_blocks", None)
            importlib.import_module("hidden_blocks")
        return build(spec)

    monkeypatch.setattr(keys, "_strange", {})
    monkeypatch.setattr(ModelSpec, "build", load_more)
    assert parity(shapes=False).code == 0
    assert not list(tmp_path.rglob("*.ref"))
