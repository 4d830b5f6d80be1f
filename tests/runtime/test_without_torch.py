"""The runtime needs onnxruntime, numpy and pillow; and starts without loading even the first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCKED = {
    "torch", "torchvision", "onnx", "onnx_ir", "onnxsim", "onnxscript", "timm", "scipy", "sympy",
    "matplotlib", "psutil", "starlette", "uvicorn", "pillow_heif", "parity",
}
sys.meta_path.insert(0, Blocked())
"""


def run(code: str, *arguments: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + code, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_analysis(tiny_models: Path, photos: Path) -> None:
    """With rich absent too: it is for terminals."""
    code = """
BLOCKED.add("rich")
from trufor_onnx.runtime import Detector
with Detector(sys.argv[1], threads=1) as detector:
    print(detector.analyze(sys.argv[2]).score)
"""
    assert 0.0 <= float(run(code, tiny_models, photos / "a.png", cwd=photos)) <= 1.0


def test_the_command(tiny_models: Path, photos: Path) -> None:
    code = """
from trufor_onnx.runtime.cli import main
sys.exit(main([sys.argv[2], "--out", "out", "--onnx-models", sys.argv[1], "--threads", "1"]))
"""
    assert "1 analysed" in run(code, tiny_models, photos / "a.png", cwd=photos)


def test_nothing_is_reported_to_anybody(
    tiny_models: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime's official builds queue reports of what they run in the home folder."""
    home = photos / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    code = """
from trufor_onnx.runtime import Detector
with Detector(sys.argv[1], threads=1) as detector:
    detector.analyze(sys.argv[2])
"""
    run(code, tiny_models, photos / "a.png", cwd=photos)
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize(
    "module", ["runtime", "trufor_onnx.runtime.cli", "trufor_onnx.runtime.serve.cli"]
)
def test_nothing_heavy_is_loaded_at_the_start(module: str, tmp_path: Path) -> None:
    code = f"""
import {module}
loaded = {{name.partition(".")[0] for name in sys.modules}}
print(sorted(loaded & {{"onnxruntime", "rich", "starlette", "uvicorn", "torch", "parity"}}))
"""
    assert run(code, cwd=tmp_path).strip() == "[]"
