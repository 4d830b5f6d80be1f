"""The worst images are kept, the rest is forgotten, and nothing is shown that is not there."""

from __future__ import annotations

import base64
import io
import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trufor_onnx.parity.inputs.cases import Case, ImageFile, LoadedCase
from trufor_onnx.parity.results.pictures import HEAT, JPEG, PNG, Pictures, badness, media_type
from trufor_onnx.parity.results.rows import SOURCE, Status
from trufor_onnx.parity.running.gallery import Gallery

SHAPE = (1, 2, 24, 20)


@pytest.fixture
def case(tmp_path: Path) -> Callable[[str], LoadedCase]:
    def make(name: str) -> LoadedCase:
        path = tmp_path / name
        colour = (sum(name.encode()) % 256, 100, 50)
        Image.new("RGB", (20, 24), colour).save(path)
        return Case(name, (ImageFile(path, name),)).load()

    return make


def see(
    gallery: Gallery, case: LoadedCase, row: Any, *, error: float = 0.1, found: Any = None
) -> None:
    reference = np.random.default_rng(7).normal(size=SHAPE)
    candidate = reference + error if found is None else found
    gallery.see(case, [row], {row.output: reference}, {row.output: candidate})


def images(gallery: Gallery) -> list[str]:
    return [panel.image for panel in gallery.pictures().panels]


def content(pictures: Pictures, name: str) -> np.ndarray:
    data = base64.b64decode(pictures.files[name])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_the_worst_are_kept_the_worst_first(make: Any, case: Any) -> None:
    gallery = Gallery(worst=2)
    for name, mae in (("a.png", 1.0), ("b.png", 3.0), ("c.png", 2.0), ("d.png", 0.5)):
        see(gallery, case(name), make.row(image=name, mae=mae))
    assert images(gallery) == ["b.png", "c.png"]
    assert gallery.pictures().left_out == 0


def test_what_is_not_among_the_worst_is_never_drawn(
    make: Any, case: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = Gallery(worst=1)
    see(gallery, case("a.png"), make.row(image="a.png", mae=1.0))
    monkeypatch.setattr("trufor_onnx.parity.running.gallery.draw", lambda *_: pytest.fail("drawn"))
    see(gallery, case("b.png"), make.row(image="b.png", mae=1.0))
    see(gallery, case("c.png"), make.row(backend=SOURCE, mae=9.0))
    see(
        gallery,
        Case("shape:24x20", case("d.png").case.pictures, (24, 20)).load(),
        make.row(mae=9.0),
    )
    assert images(gallery) == ["a.png"]


def test_a_row_without_a_figure_is_the_worst_of_all(make: Any, case: Any) -> None:
    gallery = Gallery(worst=1)
    see(gallery, case("a.png"), make.row(image="a.png", mae=1e9))
    nan = np.full(SHAPE, np.nan)
    see(gallery, case("b.png"), make.row(image="b.png", mae=None, status=Status.FAIL), found=nan)
    see(gallery, case("c.png"), make.row(image="c.png", mae=1e10))
    (panel,) = gallery.pictures().panels
    assert (panel.image, panel.note) == ("b.png", "cyan: NaN or infinite")
    assert badness(math.nan) == badness(None) == badness(math.inf) == math.inf > badness(1e300)


def test_models_backends_and_outputs_do_not_compete(make: Any, case: Any) -> None:
    gallery = Gallery(worst=1)
    for changes in ({}, {"model": "b"}, {"provider": "cuda"}, {"output": "x"}, {"variant": "ort"}):
        see(gallery, case("a.png"), make.row(image="a.png", **changes))
    pictures = gallery.pictures()
    assert len(pictures.panels) == 5
    assert len(pictures.files) == 4  # the same files, kept once


def test_the_pictures_show_the_arrays_and_their_scales(make: Any, case: Any) -> None:
    gallery = Gallery()
    reference = np.random.default_rng(7).normal(size=SHAPE)
    wrong = reference.copy()
    wrong[0, :, 5, 6] += 0.5
    see(gallery, case("a.png"), make.row(image="a.png"), found=wrong)
    pictures = gallery.pictures()
    (panel,) = pictures.panels
    assert (panel.size, panel.channels) == (SHAPE[2:], 2)
    assert panel.input and panel.candidate and panel.error
    assert [media_type(pictures.files[d.file]) for d in (panel.input, panel.error)] == [JPEG, PNG]
    assert (panel.error.low, panel.error.high) == (0.0, pytest.approx(0.5))
    heat = content(pictures, panel.error.file)
    assert heat.shape == (24, 20, 3)
    assert tuple(heat[5, 6]) == HEAT[-1] and tuple(heat[0, 0]) == HEAT[0]
    mean = reference[0].mean(axis=0)
    assert panel.reference.low == pytest.approx(np.percentile(mean, 0.5))
    assert (panel.candidate.low, panel.candidate.high) == (
        panel.reference.low,
        panel.reference.high,
    )
    same = (content(pictures, panel.reference.file) == content(pictures, panel.candidate.file)).all(
        axis=-1
    )
    assert same.sum() >= same.size - 1


@pytest.mark.parametrize("found", [np.zeros((1, 2, 12, 10)), None])
def test_an_output_that_cannot_be_compared_is_said_to_be_absent(
    make: Any, case: Any, found: Any
) -> None:
    gallery = Gallery()
    row = make.row(image="a.png", mae=None, status=Status.FAIL)
    reference = {"map": np.zeros(SHAPE)}
    gallery.see(case("a.png"), [row], reference, {} if found is None else {"map": found})
    (panel,) = gallery.pictures().panels
    assert panel.candidate is None and panel.error is None
    assert "another shape" in panel.note


def test_a_score_has_no_picture(make: Any, case: Any) -> None:
    gallery = Gallery()
    gallery.see(case("a.png"), [make.row()], {"map": np.zeros((1, 1))}, {"map": np.ones((1, 1))})
    assert gallery.pictures() == Pictures()


def test_an_image_is_shown_as_it_was_read(make: Any, case: Any) -> None:
    """It is not opened again: by then it may be another one, or gone."""
    gallery = Gallery()
    loaded = case("a.png")
    Image.new("RGB", (20, 24), (0, 0, 255)).save(loaded.case.pictures[0].path)
    see(gallery, loaded, make.row(image="a.png"))
    loaded.case.pictures[0].path.unlink()
    see(gallery, loaded, make.row(image="a.png", output="other"))
    pictures = gallery.pictures()
    first, second = (panel.input for panel in pictures.panels)
    assert first and first == second
    shown = content(pictures, first.file)[12, 10].astype(int)
    assert np.abs(shown - loaded.pixels[0, 12, 10]).max() <= 4  # a JPEG's


def test_the_limit_leaves_out_the_least_bad(make: Any, case: Any) -> None:
    whole = Gallery(worst=2)
    few = Gallery(worst=2, most_characters=2500)
    for gallery in (whole, few):
        for name, mae in (("a.png", 1.0), ("b.png", 3.0)):
            see(gallery, case(name), make.row(image=name, mae=mae), error=mae)
    assert sum(map(len, whole.pictures().files.values())) > 2500
    assert images(few) == ["b.png"] and few.pictures().left_out == 1
    assert sum(map(len, few.pictures().files.values())) <= 2500


def test_pictures_survive_in_a_journal(make: Any, case: Any) -> None:
    first = Gallery(worst=2)
    kept = []
    for name, mae in (("a.png", 1.0), ("b.png", None), ("c.png", 2.0)):
        see(first, case(name), make.row(image=name, mae=mae))
        kept.append(json.loads(json.dumps(first.taken(), allow_nan=False)))
    assert first.taken() == []
    second = Gallery(worst=2)
    for documents in kept:
        second.restore(documents)
    assert second.pictures() == first.pictures()
    assert second.taken() == []


@pytest.mark.parametrize("document", [None, 3, {}, {"mae": 1.0, "panel": {}, "files": {}}])
def test_a_journal_of_another_form_is_not_used(
    document: object, caplog: pytest.LogCaptureFixture
) -> None:
    gallery = Gallery()
    with caplog.at_level(logging.WARNING):
        gallery.restore([document])
    assert gallery.pictures() == Pictures()
    assert "not used" in caplog.text


def test_media_types() -> None:
    assert media_type(base64.b64encode(b"\x89PNG\r\n\x1a\n...").decode()) == PNG
    for text in ("", "!!", "é", base64.b64encode(b"<svg onload=x>").decode(), "iVBORw0KGgo=\n<b>"):
        assert media_type(text) == ""
