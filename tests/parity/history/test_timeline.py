"""Releases in order, and since when a figure is what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.cli import main
from trufor_onnx.parity.history.differences import Trend
from trufor_onnx.parity.history.timeline import natural, timeline

Write = Callable[..., Path]


def test_since_when(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def worse(number: int) -> float:
        return (number + 1) * 2e-7

    write("h/models-1.8/parity.json")
    write("h/models-1.9/parity.json", sha256="b" * 64)
    write("h/models-1.10/parity.json", worse, sha256="b" * 64)
    write("h/models-1.11/parity.json", worse, sha256="b" * 64)
    (history,) = timeline(tmp_path / "h")
    assert history.releases == ("models-1.8", "models-1.9", "models-1.10", "models-1.11")
    steps = {step.what: step for step in history.steps}
    assert steps["net: file"].since == "models-1.9"
    mae = steps["MAE of net portable map on images cpu"]
    assert (mae.since, mae.now) == ("models-1.10", "1.300e-06")
    assert mae.change is not None and mae.change.verdict is Trend.WORSE
    assert (steps["tolerances"].since, steps["tolerances"].change) == ("models-1.8", None)
    assert main(["history", str(tmp_path / "h")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 releases: models-1.8, models-1.9, models-1.10, models-1.11"
    assert "worse since models-1.10: 6.500e-07 -> 1.300e-06" in lines[1]


def test_names_are_in_the_order_of_their_numbers() -> None:
    names = ["v10", "v9", "v9.1", "a", "v1-rc2", "v1-rc10"]
    assert sorted(names, key=natural) == ["a", "v1-rc2", "v1-rc10", "v9", "v9.1", "v10"]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_reports_have_no_history(write: Write, tmp_path: Path, count: int) -> None:
    (tmp_path / "h").mkdir()
    for number in range(count):
        write(f"h/{number}/parity.json")
    with pytest.raises(ParityError, match="no two reports"):
        timeline(tmp_path / "h")
    assert main(["history", str(tmp_path / "none")]) == 2
