"""An interrupted run goes on where it was, and never with rows of other conditions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trufor_onnx.parity.inputs.cases import is_made
from trufor_onnx.parity.results.rows import Row
from trufor_onnx.parity.running import side_by_side as bench
from trufor_onnx.parity.running.journal import NAME

ExportedFile = Callable[[str], Path]
Images = Callable[..., Path]


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """Ctrl-C when the case with a number begins; the list has the cases that were measured."""
    measured: list[str] = []
    rows = bench.Bench.rows

    def stop_at(number: int) -> list[str]:
        measured.clear()

        def watched(self: bench.Bench, case: Any) -> Iterator[Row]:
            if len(measured) == number:
                raise KeyboardInterrupt
            if not is_made(case.name):
                measured.append(case.name)
            return rows(self, case)

        monkeypatch.setattr(bench.Bench, "rows", watched)
        return measured

    return stop_at


def names(ran: Any) -> list[str]:
    return list(dict.fromkeys(row["image"] for row in ran.report["rows"]))


def test_an_interrupted_run_says_so_and_the_next_goes_on(
    parity: Any, exported: ExportedFile, make_images: Images, stopping: Any, tmp_path: Path
) -> None:
    exported("tiny_np")
    make_images(5)
    stopping(3)
    stopped = parity(shapes=False)
    assert (stopped.code, stopped.report) == (130, {})
    assert "3 finished cases are in" in stopped.err and NAME in stopped.err
    measured = stopping(99)
    resumed = parity(shapes=False)
    assert resumed.code == 0
    assert measured == ["image_0003.png", "image_0004.png"]
    assert resumed.report["summary"]["resumed_cases"] == 3
    assert "3 cases were measured by an interrupted run" in resumed.out
    assert names(resumed) == [f"image_{n:04d}.png" for n in range(5)]
    assert not (tmp_path / "out" / NAME).exists()
    whole = parity(shapes=False)
    assert whole.report["summary"]["resumed_cases"] == 0
    assert measured[2:] == names(whole)  # a finished run is measured anew
    assert whole.report["rows"] == resumed.report["rows"]


@pytest.mark.parametrize(
    "arguments", [["--no-resume"], ["--pixel-scale", "255"], ["--threads", "2"]], ids=str
)
def test_under_other_settings_nothing_is_resumed(
    parity: Any, exported: ExportedFile, make_images: Images, stopping: Any, arguments: list[str]
) -> None:
    exported("tiny_np")
    make_images(3)
    stopping(2)
    parity(shapes=False)
    measured = stopping(99)
    ran = parity(*arguments, shapes=False)
    assert len(measured) == 3
    assert ran.report["summary"]["resumed_cases"] == 0


def test_an_image_that_changed_is_measured_again(
    parity: Any, exported: ExportedFile, make_images: Images, stopping: Any
) -> None:
    exported("tiny_np")
    images = make_images(3)
    stopping(2)
    parity(shapes=False)
    (images / "image_0001.png").write_bytes((images / "image_0000.png").read_bytes())
    measured = stopping(99)
    ran = parity(shapes=False)
    assert measured == ["image_0001.png", "image_0002.png"]
    assert ran.report["summary"]["resumed_cases"] == 1


def test_a_journal_is_never_trusted_where_it_was_changed(
    parity: Any, exported: ExportedFile, make_images: Images, stopping: Any, tmp_path: Path
) -> None:
    exported("tiny_np")
    make_images(2)
    stopping(2)
    parity()
    journal = tmp_path / "out" / NAME
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        for row in line["rows"]:
            row["mae"] = 0.0
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    measured = stopping(99)
    ran = parity()
    assert ran.report["summary"]["resumed_cases"] == 0
    assert measured[:2] == ["image_0000.png", "image_0001.png"]
    assert all(row["mae"] > 0.0 for row in ran.rows)


def test_pictures_of_a_resumed_run_are_those_of_a_whole_one(
    parity: Any, exported: ExportedFile, make_images: Images, stopping: Any
) -> None:
    exported("tiny_np")
    make_images(5)
    stopping(3)
    parity(shapes=False)
    stopping(99)
    resumed = parity(shapes=False)
    whole = parity(shapes=False)
    assert len(whole.report["pictures"]["panels"]) == 3
    assert whole.report["pictures"] == resumed.report["pictures"]
