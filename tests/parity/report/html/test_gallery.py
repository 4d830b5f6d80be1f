"""Pictures stand beside the row that they belong to, or their absence is said."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trufor_onnx.parity.report.html.elements import join
from trufor_onnx.parity.report.html.gallery import without_pictures, worst_images
from trufor_onnx.parity.results.pictures import GREY, Drawing, Panel, Pictures, scaled_png
from trufor_onnx.parity.results.rows import Report, Status

PNG = base64.b64encode(scaled_png(np.eye(4), 0.0, 1.0, GREY)).decode()
PANEL = Panel(
    model="net",
    variant="portable",
    backend="onnxruntime",
    provider="cpu",
    image="real/a.png",
    output="map",
    size=(48, 40),
    channels=3,
    input=Drawing("p"),
    reference=Drawing("p", -1.0, 1.0),
    candidate=Drawing("p", -1.0, 1.0),
    error=Drawing("p", 0.0, 2.5e-6),
)


def shown(report: Report) -> str:
    return join(worst_images(report))


@pytest.fixture
def report(make: Any, build: Any) -> Report:
    found: Report = build([make.row()], pictures=Pictures({"p": PNG}, (PANEL,)))
    return found


def test_four_views_with_their_scales_and_words(report: Report) -> None:
    text = shown(report)
    assert text.count(f'src="data:image/png;base64,{PNG}"') == 4
    assert "0 … 2.5e-06" in text and "-1 … 1" in text
    assert "mean over 3 channels" in text and "output 48 × 40" in text
    assert "99th percentile 5.00e-06, largest 1.00e-05" in text  # what the map shows, in words


@pytest.mark.parametrize("content", ["", "PHNjcmlwdD4=", '"><script>'])
def test_what_is_no_picture_is_not_embedded(report: Report, content: str) -> None:
    text = shown(replace(report, pictures=Pictures({"p": content}, (PANEL,))))
    assert "<img" not in text and "script" not in text
    assert text.count("not kept") == 4


def test_a_candidate_that_was_not_drawn(report: Report) -> None:
    panel = replace(PANEL, candidate=None, error=None, note="another shape")
    text = shown(replace(report, pictures=Pictures({"p": PNG}, (panel,), left_out=2)))
    assert text.count("<img") == 2 and text.count("not kept") == 2
    assert "another shape" in text and "2 more were left out" in text


def test_a_size_of_another_form_is_shown_as_it_is(report: Report) -> None:
    panel = replace(PANEL, size=())
    assert "<figure" in shown(replace(report, pictures=Pictures({"p": PNG}, (panel,))))


def test_a_worse_image_without_pictures_is_named(make: Any, build: Any) -> None:
    worse = make.row(image="worse.png", mae=None, status=Status.FAIL)
    text = shown(build([make.row(), worse], pictures=Pictures({"p": PNG}, (PANEL,))))
    assert text.index("worse.png") < text.index("real/a.png")
    assert "its pictures were not kept" in text


def test_outputs_without_pictures_are_listed(make: Any, build: Any) -> None:
    report = build([make.row(), make.row(output="score")], pictures=Pictures({}, (PANEL,)))
    assert without_pictures(report) == ["net score (portable onnxruntime cpu)"]
