"""What docs/chunking.md shows works as shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from trufor_onnx.chunking import split
from trufor_onnx.chunking.cli import main

DOCS = (Path(__file__).parents[2] / "docs" / "chunking.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)


def test_python_example(
    tmp_path: Path, make_model: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    data = make_model({"w": bytes(1000)})
    Path("mit_b2.onnx").write_bytes(data)
    (code,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(code, "docs/chunking.md", "exec"), names)
    assert names["faults"] == ()
    assert Path("copy.onnx").read_bytes() == data


def test_every_option_shown_exists(capsys: pytest.CaptureFixture[str]):
    (usage, *_) = blocks("")
    shown = re.findall(r"^python -m chunking (\w+) (.*)$", usage, re.MULTILINE)
    assert [command for command, _ in shown] == ["split", "merge", "verify", "inspect", "prune"]
    for command, words in shown:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        text = capsys.readouterr().out
        assert "--json" in text
        for option in re.findall(r"--[a-z-]+", words):
            assert option in text


def test_format_example_has_the_keys_of_a_manifest(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"content")
    manifest = json.loads((split(tmp_path / "file").folder / "manifest.json").read_text())
    (shown,) = blocks("json")
    example = json.loads(shown.replace(", ...]", "]"))
    assert example.keys() == manifest.keys()
    for part in ("chunker", "file"):
        assert example[part].keys() == manifest[part].keys()
        assert list(example[part]) == sorted(manifest[part])
    assert example["chunks"][0].keys() == manifest["chunks"][0].keys()
