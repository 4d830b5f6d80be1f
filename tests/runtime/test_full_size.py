"""The full-size networks: golden outputs, tiles under published weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trufor_onnx.export.networks.preprocess import to_input
from trufor_onnx.export.networks.spec import Preprocessing
from trufor_onnx.runtime import Detector
from trufor_onnx.runtime.model_files import NOISEPRINT, ModelFile
from trufor_onnx.runtime.session import Session
from trufor_onnx.runtime.tiling import by_tiles

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ("golden_96x128.npz", "golden_101x77.npz")


def export(folder: Path, *arguments: str) -> Path:
    """Export in a process of its own, which frees its memory."""
    done = subprocess.run(
        [sys.executable, "-m", "export", *arguments, "--out", str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full_size")
    return export(folder, "noiseprint_pp", "trufor_head", "--stand-in", "golden")


@pytest.mark.parametrize("tile", [1024, 50])
def test_golden_outputs(stand_in: Path, shared: Path, tile: int) -> None:
    """Map, conf and score are within 1e-5 of float64."""
    with Detector(stand_in, variant="portable", tile=tile) as detector:
        for name in GOLDEN:
            with np.load(shared / "reference" / name) as golden:
                found = detector.analyze(golden["image"], noiseprint=True)
                assert np.abs(found.map - golden["map"]).max() <= 1e-5
                assert np.abs(found.conf - golden["conf"]).max() <= 1e-5
                assert abs(found.score - float(golden["score"])) <= 1e-5
                assert found.noiseprint is not None
                # 880 is what activations reach: rounding there is 1e-4 of what comes out.
                difference = np.abs(found.noiseprint - golden["noiseprint"].squeeze()).max()
                assert difference <= 1e-5


def test_tiles_under_published_weights(tmp_path: Path, shared: Path) -> None:
    """Real activations reach 880; the tiled map is still that of the whole image."""
    weights = shared / "data" / "weights" / "noiseprint++.th"
    images = sorted((shared / "data" / "cocoglide50" / "fake").glob("*.png"))
    if not weights.is_file() or not images:
        pytest.skip("no published Noiseprint++ weights or no CocoGlide images in the test data")
    export(tmp_path, "noiseprint_pp", "--weights", str(weights))
    file = ModelFile(NOISEPRINT, "portable", tmp_path / "noiseprint_pp.onnx")
    session = Session(file, ["cpu"], inputs=["image"], outputs=["noiseprint"])
    assert not session.info.stand_in

    from trufor_onnx.runtime import load_picture

    rgb = load_picture(images[0]).rgb

    def extract(part: np.ndarray) -> np.ndarray:
        feeds = {"image": to_input(part, Preprocessing())}
        return session.run(feeds)["noiseprint"][0, 0]

    whole = extract(rgb)
    assert np.ptp(whole) > 0.1
    for tile in (37, 64, 100, 128, 200):
        assert np.abs(by_tiles(rgb, tile, extract) - whole).max() <= 1e-6
