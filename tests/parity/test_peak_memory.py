"""Memory does not grow with the number of images, of whatever sizes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# Run in a process of its own, which is the only way to a peak of its own. The network is tiny:
# what grows with images are arrays and whatever keeps them, not weights.
SCRIPT = """
import resource, sys
from dataclasses import replace
import trufor_onnx.export.networks.registry
from trufor_onnx.export.models.noiseprint_pp import NoiseprintConfig
from trufor_onnx.export.networks.registry import NOISEPRINT_PP
from trufor_onnx.parity.cli import main

config = {"config": NoiseprintConfig(depth=3, width=4)}
tiny = replace(NOISEPRINT_PP, name="tiny_np", builder_arguments=config, files=(), prefix="")
trufor_onnx.export.networks.registry.registered = lambda: {"tiny_np": tiny}
code = main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""
FEW, MANY = 50, 1000
MORE = 1.2  # the peak of many over that of few


def make_pictures(folder: Path, count: int) -> Path:
    """Small pictures of unequal sizes, every one different: none is in the cache by another."""
    folder.mkdir()
    for number in range(count):
        height, width = 70 + number * 7 % 61, 70 + number * 11 % 53
        ramp = np.add.outer(np.arange(height) * 3, np.arange(width)) + number
        picture = np.stack([ramp, ramp * 2 + number // 256, ramp * 5], axis=-1)
        Image.fromarray((picture % 256).astype(np.uint8)).save(folder / f"{number:05d}.bmp")
    return folder


def peak(tmp_path: Path, onnx: Path, images: Path, *arguments: str) -> int:
    """Kilobytes of the resident set of a run over a folder of images at its highest."""
    command = [sys.executable, "-c", SCRIPT, "run", "--models", "tiny_np", "--stand-in", "golden"]
    command += ["--candidate", f"tiny_np={onnx}", "--images", str(images), "--threads", "1"]
    command += ["--out", str(tmp_path / "out"), "--no-shapes", "--format", "json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_of_1000_images_needs_no_more_than_one_of_50(
    tmp_path: Path, exported_once: Callable[[str], Path]
) -> None:
    """Computing references and keeping them, then taking them from the cache.

    Kept arrays would add 28 bytes a pixel, 250 MB: half of a run with torch and twice one without.
    """
    onnx = exported_once("tiny_np")
    few, many = make_pictures(tmp_path / "few", FEW), make_pictures(tmp_path / "many", MANY)
    for way in ("computed", "from the cache"):
        small = peak(tmp_path, onnx, few, "--cache", str(tmp_path / "cache_few"))
        large = peak(tmp_path, onnx, many, "--cache", str(tmp_path / "cache_many"))
        assert large <= MORE * small, f"{way}: {small} kB of {FEW}, {large} kB of {MANY} images"
    assert len(list((tmp_path / "cache_many").rglob("*.ref"))) >= 2 * MANY
