"""The four files at full size: the committed locks, the golden outputs, and what they cost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from trufor_onnx.export.graph.finish import toolchain
from trufor_onnx.export.lock import read_lock
from trufor_onnx.export.networks.preprocess import to_input
from trufor_onnx.export.networks.registry import MIT_B2, NOISEPRINT_PP, TRUFOR, TRUFOR_HEAD

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("noiseprint_pp", "mit_b2", "trufor", "trufor_head")
GOLDEN = ("golden_96x128.npz", "golden_101x77.npz")
MOST_BYTES = 4 << 30  # `make export` of all four files in under 4 GiB

# Exports all four in one process and says how much memory that took at most.
# (Not `ru_maxrss`, which a process inherits from the one that started it.)
PROGRAM = """
import sys
from trufor_onnx.export.cli import main
from trufor_onnx.parity.timing.worker import peak_bytes
code = main([*sys.argv[2:], "--stand-in", "golden", "--out", sys.argv[1]])
print("PEAK", peak_bytes())
sys.exit(code)
"""


@pytest.fixture(scope="module", params=["portable", "ort"])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, int]:
    """A folder with the four files, and the peak memory of the process that made them."""
    folder = tmp_path_factory.mktemp("full size")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), *NAMES, "--variant", request.param],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder, int(done.stdout.rpartition("PEAK")[2])


def test_memory(exported: tuple[Path, int]) -> None:
    assert exported[1] < MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_locks(name: str, exported: tuple[Path, int]) -> None:
    """Another process and folder than those that made them; `make export-check` does the same."""
    path = file_of(exported[0], name)
    committed = read_lock(ROOT / "onnx_models" / path.name)
    assert committed is not None
    if committed["weights"]["label"] != "stand-in weights (seed golden)":
        pytest.skip("onnx_models/ holds an export of other weights")
    if committed["toolchain"] != toolchain():
        pytest.skip("another toolchain than the one of the committed locks")
    assert read_lock(path) == committed


def file_of(folder: Path, name: str) -> Path:
    """The one file of a network in a folder, of whichever variant."""
    (path,) = (p for p in folder.glob("*.onnx") if p.name.partition(".")[0] == name)
    return path


def run(folder: Path, name: str, **feeds: npt.NDArray[np.float32]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(
        file_of(folder, name), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def three(noiseprint: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.repeat(noiseprint.reshape(1, 1, *noiseprint.shape[-2:]), 3, axis=1)


def far(found: Any, expected: Any) -> float:
    assert np.squeeze(found).shape == np.squeeze(expected).shape
    return float(np.abs(np.squeeze(found).astype(np.float64) - np.squeeze(expected)).max())


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_noiseprint(name: str, exported: tuple[Path, int], shared: Path) -> None:
    golden = np.load(shared / "reference" / name)
    image = to_input(golden["image"], NOISEPRINT_PP.preprocessing)
    found = run(exported[0], "noiseprint_pp", image=image)
    assert far(found["noiseprint"], golden["noiseprint"]) < 1e-5


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_encoder(name: str, exported: tuple[Path, int], shared: Path) -> None:
    golden = np.load(shared / "reference" / name)
    rgb = to_input(golden["image"], MIT_B2.preprocessing)
    found = run(exported[0], "mit_b2", rgb=rgb, np=three(golden["noiseprint"]))
    for output in ("fused_0", "fused_1", "fused_2", "fused_3"):
        expected = golden[output]
        assert np.squeeze(found[output]).shape == np.squeeze(expected).shape
        error = np.abs(np.squeeze(found[output]).astype(np.float64) - np.squeeze(expected)).mean()
        assert error < 5e-6  # on magnitudes of about 2


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_answers(name: str, exported: tuple[Path, int], shared: Path) -> None:
    golden = np.load(shared / "reference" / name)
    image = to_input(golden["image"], TRUFOR.preprocessing)
    whole = run(exported[0], "trufor", image=image)
    rgb = to_input(golden["image"], TRUFOR_HEAD.preprocessing)
    head = run(
        exported[0], "trufor_head", rgb=rgb, np=golden["noiseprint"].reshape(1, 1, *image.shape[2:])
    )
    for found in (whole, head):
        assert far(found["score"], golden["score"]) < 1e-5
        assert far(found["map"], golden["map"]) < 1e-4  # float32: 1e-5 of the range, typically
        assert far(found["conf"], golden["conf"]) < 1e-4
    assert far(whole["noiseprint"], golden["noiseprint"]) < 1e-5
