"""Bars on a terminal, nothing elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from trufor_onnx.runtime.batch import batch_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drive(total: int) -> None:
    with batch_progress(total) as listener:
        for index in range(total):
            listener.step("reading", 0, 1)
            for tile in range(1, 4):
                listener.step("Noiseprint++", tile, 3)
            listener.step("detector", 0, 1)
            listener.step("detector", 1, 1)
            listener.image(f"{index}.png")


def test_nothing_is_drawn_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    drive(2)
    assert capsys.readouterr() == ("", "")


def test_images_and_steps_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    drive(2)
    drawn = terminal.getvalue()
    assert "images" in drawn
    assert "detector" in drawn
    assert "2/2" in drawn
