"""A run over images: rows, errors beside rows, memory that does not grow, what ran where."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trufor_onnx.errors import ParityError
from trufor_onnx.export.weights.sources import WeightsSource
from trufor_onnx.parity.inputs.cases import KINDS
from trufor_onnx.parity.references import supply
from trufor_onnx.parity.results.rows import Row
from trufor_onnx.parity.runners.torch_runner import TorchRunner
from trufor_onnx.parity.running.run import RunListener, RunPlan, run_parity
from trufor_onnx.providers import Provider

ExportedFile = Callable[[str], Path]
Images = Callable[..., Path]
GOLDEN = WeightsSource(stand_in="golden")
CPU = (Provider("cpu", required=True),)


def plan(images: Path, models: tuple[str, ...] = ("tiny_np",), **changes: Any) -> RunPlan:
    given = {"folder": images.parent / "onnx_models", "threads": 1}
    return RunPlan(models, GOLDEN, images, CPU, **given | changes)


class Heard(RunListener):
    def __init__(self) -> None:
        self.models: list[tuple[str, int]] = []
        self.cases: list[list[Row]] = []
        self.said: list[str] = []

    def model(self, name: str, cases: int) -> None:
        self.models.append((name, cases))

    def say(self, text: str) -> None:
        self.said.append(text)

    def rows(self, rows: list[Row]) -> None:
        self.cases.append(rows)


pytestmark = pytest.mark.usefixtures("tiny")


def test_every_model_image_backend_and_output_has_its_row(
    exported: ExportedFile, make_images: Images
) -> None:
    images = make_images(2, label="fake")
    for name in ("tiny_mit", "tiny_trufor"):
        exported(name)
    heard = Heard()
    report = run_parity(plan(images, ("tiny_mit", "tiny_trufor")), heard)
    found = {(r.model, r.image, r.backend, r.output) for r in report.rows}
    outputs = [("tiny_mit", f"fused_{n}") for n in range(4)]
    outputs += [("tiny_trufor", name) for name in ("map", "conf", "score", "noiseprint")]
    assert found == {
        (model, f"fake/image_{n:04d}.png", backend, output)
        for n in range(2)
        for backend in ("torch32", "onnxruntime")
        for model, output in outputs
    }
    assert len(report.rows) == len(found)
    assert {row.label for row in report.rows} == {"fake"}
    assert [name for name, _ in heard.models] == ["tiny_mit", "tiny_trufor"]
    assert sum(count for _, count in heard.models) == len(heard.cases)
    assert [row for rows in heard.cases for row in rows if row.image.startswith("fake")] == list(
        report.rows
    )
    scores = [row for row in report.rows if row.output == "score" and row.backend != "torch32"]
    assert all(set(row.outcome) == {"difference", "flipped", "flip_distance"} for row in scores)
    maps = [row for row in report.rows if row.output in ("map", "conf")]
    assert all(set(row.outcome) == {"iou", "flipped_share"} for row in maps)


def test_shapes_and_the_yardstick_are_told(exported: ExportedFile, make_images: Images) -> None:
    exported("tiny_np")
    report = run_parity(plan(make_images(1)))
    shapes = {row.image: row.shape for row in report.shape_rows}
    assert shapes["shape:2x96x128"] == (2, 3, 96, 128)
    assert shapes["shape:101x77"] == (1, 3, 101, 77)
    assert shapes["shape:1x1"] == (1, 3, 1, 1)
    about = report.models["tiny_np"]
    assert about["torch32"]["convolution_kernel"] in ("onednn", "native")
    assert about["reference"] == "torch float64, reproducible"
    assert report.environment["data_set"] == {"images": 1, "real": 0, "fake": 0}
    without = run_parity(plan(make_images(1), shapes=False)).shape_rows
    assert {row.image for row in without} == {f"made:{kind}" for kind in KINDS}


def test_images_of_unequal_sizes(exported: ExportedFile, make_images: Images) -> None:
    exported("tiny_np")
    for number, size in enumerate([(33, 47), (64, 20), (1, 9), (50, 50)]):
        make_images(1, size=size, label=str(number))
    report = run_parity(plan(make_images(0), shapes=False))
    assert {row.shape[2:] for row in report.rows} == {(33, 47), (64, 20), (1, 9), (50, 50)}
    assert {row.status for row in report.rows} == {"pass"}


@pytest.mark.parametrize("bad", [[0], [1], [0, 1], [2]])
def test_an_unreadable_image_is_a_row_and_the_rest_is_done(
    exported: ExportedFile, make_images: Images, bad: list[int]
) -> None:
    exported("tiny_np")
    images = make_images(3)
    for number in bad:
        (images / f"image_{number:04d}.png").write_bytes(b"spoiled")
    report = run_parity(plan(images))
    rows = [row for row in report.rows if row.status == "error"]
    assert [row.image for row in rows] == [f"image_{number:04d}.png" for number in bad]
    assert all("not a picture" in row.reason for row in rows)
    assert all((row.backend, row.output, row.variant) == ("", "", "") for row in rows)
    good = [row for row in report.rows if row.status == "pass"]
    assert len(good) == 2 * (3 - len(bad))
    assert {row.status for row in report.shape_rows} == {"pass"}
    assert report.status == "error"


def test_no_readable_image_is_an_error_that_names_them(
    exported: ExportedFile, make_images: Images
) -> None:
    exported("tiny_np")
    images = make_images(2)
    for path in images.iterdir():
        path.write_bytes(b"spoiled")
    with pytest.raises(ParityError, match=r"image_0000\.png: not a picture"):
        run_parity(plan(images))


def test_an_image_that_the_network_does_not_take_is_a_row(
    exported: ExportedFile, make_images: Images
) -> None:
    exported("tiny_mit")
    make_images(1, size=(31, 64), label="small")
    report = run_parity(plan(make_images(1), ("tiny_mit",)))
    (row,) = [row for row in report.rows if row.status == "error"]
    assert (row.image, row.output) == ("small/image_0000.png", "")
    assert "31 x 64 pixels are fewer than tiny_mit takes" in row.reason


def test_an_image_too_large_for_the_memory_is_a_row(
    exported: ExportedFile, make_images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported("tiny_np")
    make_images(1, size=(70, 70), label="large")
    run = TorchRunner.run

    def bounded(runner: TorchRunner, feeds: Any) -> Any:
        if feeds["image"].shape[2] == 70:
            raise ParityError("tiny_np in torch64 failed: no memory", hint="")
        return run(runner, feeds)

    monkeypatch.setattr(TorchRunner, "run", bounded)
    report = run_parity(plan(make_images(1), shapes=False))
    assert [(row.image, row.status) for row in report.rows if row.status != "pass"] == [
        ("large/image_0000.png", "error")
    ]


def test_a_model_that_is_named_twice_runs_once(exported: ExportedFile, make_images: Images) -> None:
    exported("tiny_np")
    report = run_parity(plan(make_images(1), ("tiny_np", "tiny_np"), shapes=False))
    assert len(report.rows) == 2


def test_a_candidate_for_a_model_that_does_not_run_is_an_error(make_images: Images) -> None:
    with pytest.raises(ParityError, match="--candidate names tiny_mit, which --models does not"):
        run_parity(plan(make_images(1), candidates={"tiny_mit": Path("x.onnx")}))


def test_no_array_outlives_its_case(
    exported: ExportedFile, make_images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a case allocates is gone when the next begins: memory does not grow with images."""
    exported("tiny_np")
    images = make_images(60, size=(12, 12))
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0
    run, make_feeds = TorchRunner.run, supply.make_feeds

    def watched_run(runner: TorchRunner, feeds: Any) -> Any:
        outputs = run(runner, feeds)
        alive.extend(weakref.ref(array) for array in outputs.values())
        return outputs

    def watched_feeds(*arguments: Any) -> Any:
        nonlocal most
        alive[:] = [reference for reference in alive if reference() is not None]
        most = max(most, len(alive))
        feeds = make_feeds(*arguments)
        alive.extend(weakref.ref(array) for array in feeds.values())
        return feeds

    monkeypatch.setattr(TorchRunner, "run", watched_run)
    monkeypatch.setattr(supply, "make_feeds", watched_feeds)
    report = run_parity(plan(images, shapes=False))
    assert len(report.rows) == 120
    assert most == 0


def test_pictures_that_are_all_flat_prove_nothing(exported: ExportedFile, tmp_path: Path) -> None:
    """A file that ignores its input is right on twelve black pictures."""
    exported("tiny_np")
    (tmp_path / "images").mkdir()
    for number in range(12):
        Image.new("RGB", (40, 30)).save(tmp_path / "images" / f"{number}.png")
    with pytest.raises(ParityError, match="all 12 images are of one colour"):
        run_parity(plan(tmp_path / "images"))


def test_the_seed_follows_from_the_file_or_is_given(
    exported: ExportedFile, make_images: Images
) -> None:
    exported("tiny_np")
    images = make_images(1)

    def drawn(**changes: Any) -> tuple[dict[str, Any] | None, set[str]]:
        report = run_parity(plan(images, **changes))
        return report.models["tiny_np"]["seed"], {row.image for row in report.shape_rows}

    seed, sizes = drawn()
    assert seed is not None and seed["origin"] == "the files' digests"
    assert drawn() == (seed, sizes)
    given, same = drawn(seed=seed["value"])
    assert (given, same) == ({"value": seed["value"], "origin": "--seed"}, sizes)
    assert drawn(seed=1)[1] != sizes
    assert drawn(shapes=False)[0] is None


def test_an_image_may_not_be_called_as_a_made_picture(make_images: Images) -> None:
    images = make_images(1)
    (images / "image_0000.png").rename(images / "made:black.png")
    with pytest.raises(ParityError, match=r"an image called made:black\.png"):
        run_parity(plan(images))


def test_json_markdown_and_terminal_say_where_the_nodes_ran(
    parity: Any,
    exported: Callable[[str], Path],
    make_images: Callable[..., Path],
    tmp_path: Path,
) -> None:
    exported("tiny_np")
    make_images(1)
    ran = parity("--providers", "auto", shapes=False)
    assert ran.code == 0, ran.err
    placement = ran.report["models"]["tiny_np"]["placement"]
    assert set(placement) == {"cpu"}  # CUDA is absent: its rows are "not run"
    found = placement["cpu"]
    assert set(found["nodes"]) == {"CPUExecutionProvider"}
    assert found["time_share"] == {"CPUExecutionProvider": 1.0}
    assert (found["fell_back_ops"], found["unconfirmed"]) == ({}, [])
    words = "tiny_np on cpu: "
    assert words in ran.out and "CPUExecutionProvider (100 % of the time)" in ran.out
    assert words in (tmp_path / "out" / "parity.md").read_text()
