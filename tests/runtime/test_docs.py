"""What docs/runtime.md shows works as shown."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import trufor_onnx.runtime as runtime
from trufor_onnx.runtime.cli import main
from trufor_onnx.runtime.serve.cli import main as serve

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "runtime.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)


def test_python_example(
    photos: Path, tiny_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_models, tmp_path / "onnx_models")
    shutil.copy(photos / "a.png", tmp_path / "photo.png")
    (code,) = blocks("python")
    exec(compile(code, "docs/runtime.md", "exec"), {})
    assert "(40, 48)" in capsys.readouterr().out


def test_every_option_shown_exists(capsys: pytest.CaptureFixture[str]) -> None:
    (usage, *_) = blocks("")
    analyze, _, page = usage.partition("python -m runtime.serve")
    for command, words in ((main, analyze), (serve, page)):
        with pytest.raises(SystemExit):
            command(["--help"])
        text = capsys.readouterr().out
        options = re.findall(r"--[a-z-]+", words)
        assert len(options) > 3
        for option in options:
            assert option in text


def test_every_error_named_exists() -> None:
    for name in set(re.findall(r"`(?:runtime\.)?(\w+Error)`", DOCS)):
        assert name in runtime.__all__
