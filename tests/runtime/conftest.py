"""Tiny networks under the names of the full ones, exported once, and small pictures."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from trufor_onnx.runtime import Detector

ROOT = Path(__file__).resolve().parents[2]
Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny ``noiseprint_pp`` and ``trufor_head``. Not to be changed."""
    from trufor_onnx.export.build import export_model
    from trufor_onnx.export.models.mit_b2 import EncoderConfig
    from trufor_onnx.export.models.noiseprint_pp import NoiseprintConfig
    from trufor_onnx.export.models.trufor import TruForConfig
    from trufor_onnx.export.networks.registry import NOISEPRINT_PP, TRUFOR_HEAD
    from trufor_onnx.export.weights.sources import WeightsSource

    encoder = EncoderConfig(
        channels=(4, 8, 12, 16), depths=(1, 1, 1, 1), heads=(1, 2, 3, 4), reductions=(8, 4, 2, 1)
    )
    # 17 layers deep as the full one: a tile's border of 17 pixels is then just enough.
    noiseprint = NoiseprintConfig(depth=17, width=4)
    trufor = TruForConfig(noiseprint, encoder, decoder_width=6, score_width=5)
    folder = tmp_path_factory.mktemp("models")
    with warnings.catch_warnings():
        # torch's older tracer calls functions that torch itself calls deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        for spec, config in ((NOISEPRINT_PP, noiseprint), (TRUFOR_HEAD, trufor)):
            small = replace(spec, builder_arguments={"config": config}, files=())
            export_model(small, WeightsSource(stand_in="golden"), folder)
    return folder


@pytest.fixture
def models(tiny_models: Path, tmp_path: Path) -> Path:
    """A copy of the tiny networks' files, which a test may change."""
    return Path(shutil.copytree(tiny_models, tmp_path / "models"))


@pytest.fixture(scope="session")
def detector(tiny_models: Path) -> Iterator[Detector]:
    """The tiny networks, opened once."""
    with Detector(tiny_models, threads=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def draw() -> Callable[..., Pixels]:
    """(H, W, 3) uint8 noise, the same in every run: ``draw(height, width, seed=0)``."""

    def make(height: int, width: int, seed: int = 0) -> Pixels:
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    return make


@pytest.fixture
def photos(tmp_path: Path, draw: Callable[..., Pixels]) -> Path:
    """A folder ``photos`` with three small pictures, one of them in a folder of its own."""
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    for index, name in enumerate(("a.png", "b.jpg", "trip/c.png")):
        Image.fromarray(draw(40 + index, 48, index)).save(folder / name)
    return folder


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds the models, the weights or the cache of the person who runs it."""
    monkeypatch.delenv("TRUFOR_WEIGHTS", raising=False)
    monkeypatch.setenv("TRUFOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
