"""Memory does not grow with the number of images, of whatever sizes."""

from __future__ import annotations

import os
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
import export.registry
from export.models.noiseprint_pp import NoiseprintConfig
from export.trufor_specs import NOISEPRINT_PP
from parity.cli import main

config = {"config": NoiseprintConfig(depth=3, width=4)}
tiny = replace(NOISEPRINT_PP, name="tiny_np", builder_arguments=config, files=(), prefix="")
export.registry.registered = lambda: {"tiny_np": tiny}
code = main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""
DIFFERENT = 40  # pictures; the others are links to them


def peak(tmp_path: Path, onnx: Path, count: int) -> int:
    """Kilobytes of the resident set of a run over ``count`` images at its highest."""
    images = tmp_path / f"images_{count}"
    images.mkdir()
    for number in range(count):
        os.link(tmp_path / f"{number % DIFFERENT}.jpg", images / f"{number:05d}.jpg")
    command = [sys.executable, "-c", SCRIPT, "run", "--models", "tiny_np", "--stand-in", "golden"]
    command += ["--candidate", f"tiny_np={onnx}", "--images", str(images), "--threads", "1"]
    command += ["--out", str(tmp_path / f"out_{count}"), "--no-shapes"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


@pytest.mark.slow
def test_a_run_of_1000_images_needs_no_more_than_one_of_50(
    tmp_path: Path, exported_once: Callable[[str], Path]
) -> None:
    """Issue 5: within 1.2 times. Kept arrays would add about 1.5 GB."""
    numbers = np.random.default_rng(0)
    for number in range(DIFFERENT):
        height, width = numbers.integers(150, 350, 2)
        ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] * (1, 2, 3) % 256
        Image.fromarray(ramp.astype(np.uint8)).save(tmp_path / f"{number}.jpg")
    onnx = exported_once("tiny_np")
    few, many = peak(tmp_path, onnx, 50), peak(tmp_path, onnx, 1000)
    assert many <= 1.2 * few, f"{few} kB with 50 images, {many} kB with 1,000"
