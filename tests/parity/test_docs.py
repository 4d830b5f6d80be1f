"""What docs/parity.md shows works as shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from trufor_onnx.parity.cli import main
from trufor_onnx.parity.results.rows import Row

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "parity.md").read_text()


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines]


PYTHON = [words[3:] for words in commands() if words[:3] == ["python", "-m", "parity"]]


def test_commands_are_shown() -> None:
    assert {words[0] for words in PYTHON} == {"run", "reference"}
    assert len(PYTHON) == 6


@pytest.mark.parametrize("words", PYTHON, ids=" ".join)
def test_every_command_shown_runs(
    tiny: Any,  # noqa: ARG001 - registers the tiny networks
    exported: Callable[[str], Path],
    make_images: Callable[..., Path],
    edited: Callable[..., Path],
    tmp_path: Path,
    words: list[str],
) -> None:
    """With the tiny networks in place of the large ones, whose weights are stand-in ones."""
    names = {"noiseprint_pp": "tiny_np", "mit_b2": "tiny_mit"}
    for name in names.values():
        exported(name)
    make_images(2, folder="photos")
    if "--candidate" in words:
        edited("tiny_np", lambda proto: proto.ClearField("metadata_props")).replace(
            tmp_path / "theirs.onnx"
        )
    if "--variant" in words:
        words = [word.replace("portable,ort", "portable") for word in words]
    given = [re.sub("noiseprint_pp|mit_b2", lambda found: names[found[0]], w) for w in words]
    given = [word.replace("*.jpg", "*.png") for word in given]
    for option in ("--weights", "weights"):
        if option in given:
            given.remove(option)
    if "--reference" in given:
        bundle = ["reference", "--models", "tiny_np", "tiny_mit", "--images", "photos"]
        assert main([*bundle, "--out", "references.bundle", "--threads", "1"]) == 0
    assert main([*given, "--threads", "1"]) == 0


def test_make_commands_shown_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    shown = [words for words in commands() if words[0] == "make"]
    assert shown
    for words in shown:
        assert f"\n{words[1]}:" in makefile
        for variable in words[2:]:
            assert variable.partition("=")[0] in makefile


def test_fields_shown_exist() -> None:
    table = re.findall(r"^\| (`.*?) \|", DOCS, re.MULTILINE)
    shown = [name for cell in table for name in re.findall(r"`([\w.]+)`", cell)]
    assert "accuracy_ratio" in shown
    known = {field.name for field in fields(Row)}
    assert {name for name in shown if "." not in name} <= known


def test_models_fields_shown_exist(
    parity: Any, exported: Callable[[str], Path], make_images: Callable[..., Path]
) -> None:
    exported("tiny_np")
    make_images(1)
    about = parity(shapes=False).report["models"]["tiny_np"]
    for name in re.findall(r"`models\.NAME\.(\w+)`", DOCS):
        assert name in about


def test_options_shown_exist(capsys: pytest.CaptureFixture[str]) -> None:
    text = ""
    for command in ("run", "reference"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        text += capsys.readouterr().out
    for option in set(re.findall(r"--[a-z][a-z-]+", DOCS)):
        assert option in text, option
