"""Many images: resumed, never half-written, one bad one does not stop the rest; the bars."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trufor_onnx.runtime import Detector
from trufor_onnx.runtime.batch import Done, ImageOutcome, analyze_all, batch_progress
from trufor_onnx.runtime.images import find_images
from trufor_onnx.runtime.outputs import Wanted

EVERYTHING = Wanted(("map", "conf", "score", "np", "overlay"))


def run(detector: Detector, photos: Path, out: Path, **options: Any) -> list[Done]:
    wanted = options.pop("wanted", EVERYTHING)
    return list(analyze_all(detector, find_images([photos]), out, wanted, **options))


def outcomes(done: list[Done]) -> list[str]:
    return [one.outcome.value for one in done]


def test_what_is_written(detector: Detector, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(detector, photos, out)
    assert outcomes(done) == ["analysed"] * 3
    assert [one.image.name for one in done] == ["a.png", "b.jpg", "trip/c.png"]
    endings = ("conf.png", "json", "map.png", "np.png", "npz", "overlay.png")
    assert sorted(path.name for path in (out / "trip").iterdir()) == [
        f"c.png.{ending}" for ending in endings
    ]
    record = json.loads((out / "trip" / "c.png.json").read_text())
    assert record["image"]["format"] == "PNG"
    assert record["provenance"]["warning"].startswith("STAND-IN")
    assert set(record["files"]) == {f"c.png.{ending}" for ending in endings if ending != "json"}


def test_the_keys_of_the_reference_program(
    detector: Detector, photos: Path, tmp_path: Path
) -> None:
    run(detector, photos, tmp_path)
    expected = detector.analyze(photos / "a.png", noiseprint=True)
    with np.load(tmp_path / "a.png.npz") as arrays:
        assert set(arrays) == {"map", "conf", "score", "imgsize", "np++"}
        assert np.array_equal(arrays["map"], expected.map)
        assert np.array_equal(arrays["conf"], expected.conf)
        assert arrays["score"] == np.float32(expected.score)
        assert tuple(arrays["imgsize"]) == (40, 48)
        assert np.array_equal(arrays["np++"], expected.noiseprint)


def test_pictures_of_maps_are_as_large_as_the_image(
    detector: Detector, photos: Path, tmp_path: Path
) -> None:
    run(detector, photos, tmp_path)
    expected = detector.analyze(photos / "a.png")
    found = np.asarray(Image.open(tmp_path / "a.png.map.png"))
    assert np.abs(found / 255 - expected.map).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize(
    ("wanted", "endings"),
    [
        (Wanted(("score",), ("json",)), {"json"}),
        (Wanted(("map", "score"), ("npz",)), {"json", "npz"}),
        (Wanted(("overlay",), ("png",)), {"json", "overlay.png"}),
    ],
)
def test_only_what_is_wanted(
    detector: Detector, photos: Path, tmp_path: Path, wanted: Wanted, endings: set[str]
) -> None:
    out = tmp_path / "out"
    run(detector, photos / "a.png", out, wanted=wanted)
    assert {path.name for path in out.iterdir()} == {f"a.png.{ending}" for ending in endings}
    if "npz" in endings:
        with np.load(out / "a.png.npz") as arrays:
            assert set(arrays) == {"map", "score", "imgsize"}


def test_what_is_done_is_skipped(detector: Detector, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run(detector, photos, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*")}
    again = run(detector, photos, out)
    assert outcomes(again) == ["done before"] * 3
    assert [one.record for one in again] == [one.record for one in first]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.*")} == before


def damage_result(photos: Path, out: Path) -> None:  # noqa: ARG001 - as its siblings
    (out / "a.png.npz").write_bytes(b"cut")


def remove_result(photos: Path, out: Path) -> None:  # noqa: ARG001
    (out / "a.png.overlay.png").unlink()


def damage_record(photos: Path, out: Path) -> None:  # noqa: ARG001
    (out / "a.png.json").write_text('{"schema_version": 1, "score": []}')


def change_image(photos: Path, out: Path) -> None:  # noqa: ARG001
    shutil.copy(photos / "trip" / "c.png", photos / "a.png")


@pytest.mark.parametrize("change", [damage_result, remove_result, damage_record, change_image])
def test_what_is_not_as_it_was_is_made_anew(
    detector: Detector, photos: Path, tmp_path: Path, change: Any
) -> None:
    out = tmp_path / "out"
    run(detector, photos, out)
    change(photos, out)
    assert outcomes(run(detector, photos, out)) == ["analysed", "done before", "done before"]
    assert outcomes(run(detector, photos, out)) == ["done before"] * 3


def test_other_settings_are_other_results(detector: Detector, photos: Path, tmp_path: Path) -> None:
    run(detector, photos, tmp_path / "out")
    again = run(detector, photos, tmp_path / "out", wanted=Wanted(("score",), ("json",)))
    assert outcomes(again) == ["analysed"] * 3
    assert outcomes(run(detector, photos, tmp_path / "out", overwrite=True)) == ["analysed"] * 3


def test_a_bad_image_does_not_stop_the_rest(
    detector: Detector, photos: Path, tmp_path: Path
) -> None:
    (photos / "aa.jpg").write_bytes((photos / "b.jpg").read_bytes()[:200])
    out = tmp_path / "out"
    done = run(detector, photos, out)
    assert outcomes(done) == ["analysed", "could not", "analysed", "analysed"]
    assert done[1].outcome is ImageOutcome.FAILED
    assert "aa.jpg" in done[1].problem
    assert done[1].hint
    assert not list(out.glob("aa.jpg*"))


def test_results_that_cannot_be_written(detector: Detector, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "trip").write_text("a file where a folder must be")
    done = run(detector, photos, out)
    assert outcomes(done) == ["analysed", "analysed", "could not"]
    assert "cannot be written" in done[2].problem


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
