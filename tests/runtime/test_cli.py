"""``python -m runtime``: exit codes, tables, summaries, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from trufor_onnx.runtime.cli import main

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: object, models: Path) -> int:
    return main([*map(str, arguments), "--onnx-models", str(models), "--threads", "1"])


def test_a_folder(
    photos: Path, tiny_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(photos, "--out", out, models=tiny_models) == 0
    printed = capsys.readouterr()
    assert "trip/c.png" in printed.out
    assert "3 analysed" in printed.out
    assert "STAND-IN WEIGHTS" in printed.out
    assert "STAND-IN WEIGHTS" in printed.err
    summary = json.loads((out / "summary.json").read_text())
    assert [image["image"] for image in summary["images"]] == ["a.png", "b.jpg", "trip/c.png"]
    assert all(0.0 <= image["score"] <= 1.0 for image in summary["images"])
    assert run(photos, "--out", out, models=tiny_models) == 0
    assert "3 done before" in capsys.readouterr().out


def test_a_bad_image_is_exit_2_and_the_rest_is_there(
    photos: Path, tiny_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "bad.png").write_bytes(b"\x89PNG\r\n")
    assert run(photos, "--out", tmp_path / "out", models=tiny_models) == 2
    printed = capsys.readouterr()
    assert "3 analysed, 1 could not" in printed.out
    assert "error: " in printed.err
    assert "bad.png" in printed.err
    assert "hint: " in printed.err
    assert "Traceback" not in printed.err


def test_names_cannot_command_the_terminal(
    photos: Path, tiny_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "\x1b[2J.png").write_bytes(b"no picture")
    assert run(photos, "--out", tmp_path / "out", models=tiny_models) == 2
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "\\x1b[2J.png" in printed.err


def test_a_name_that_the_summary_has(
    photos: Path, tiny_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "a.png").rename(photos / "summary")
    assert run(photos / "summary", "--out", tmp_path / "out", models=tiny_models) == 2
    assert "summary.json" in capsys.readouterr().err


def test_json(
    photos: Path, tiny_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(photos / "a.png", "--out", tmp_path, "--json", models=tiny_models) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "summary.json").read_text())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--save", "mask"],
        ["--format", ""],
        ["--tile", "0"],
        ["--threads", "-1"],
        ["--providers", "gpu"],
        ["--variant", "int3"],
        ["--max-megapixels", "nan"],
    ],
)
def test_wrong_usage_is_exit_2(
    photos: Path,
    tiny_models: Path,
    tmp_path: Path,
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(
        [str(photos), "--out", str(tmp_path / "out"), "--onnx-models", str(tiny_models), *arguments]
    )
    assert code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert "hint: " in printed
    assert not (tmp_path / "out").exists()


def test_no_models(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(photos, "--out", tmp_path / "out", models=tmp_path / "none") == 2
    assert "python -m export" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_ends_at_once_and_leaves_nothing_half_written(
    tiny_models: Path, tmp_path: Path, draw: Callable[..., npt.NDArray[np.uint8]]
) -> None:
    """Interrupted while native code is at work on a large picture."""
    Image.fromarray(draw(1500, 1500)).save(tmp_path / "large.png", compress_level=0)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "runtime", "large.png", "--out", str(out), "--tile", "4000"]
    child = subprocess.Popen(
        [*command, "--onnx-models", str(tiny_models), "--threads", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr is not None
    assert "STAND-IN" in child.stderr.readline()  # the models are open, the work begins
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    _, printed = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "interrupted" in printed
    assert not out.exists() or not list(out.iterdir())
