"""The console script finds every command, and says which there are."""

from __future__ import annotations

import importlib

import pytest

from trufor_onnx import __main__ as console


def test_every_command_has_a_main() -> None:
    for module, _, _ in console.COMMANDS.values():
        assert callable(importlib.import_module(module).main)


def test_help_lists_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["trufor-onnx"])
    assert console.main() == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in console.COMMANDS)


def test_an_unknown_command_is_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["trufor-onnx", "exprot"])
    assert console.main() == 2
    assert "no command 'exprot'" in capsys.readouterr().err


def test_a_short_command_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["trufor-onnx", "verify", "no/such/folder"])
    assert console.main() == 2
    assert "no/such/folder" in capsys.readouterr().err
