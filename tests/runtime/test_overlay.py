"""The picture for a person: its parts are where they should be, and say what they must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.runtime import Analysis, Detector
from trufor_onnx.runtime.overlay import (
    ALARM,
    INFERNO,
    VIRIDIS,
    coloured,
    draw_overlay,
    levels,
    table,
)

Draw = Callable[..., npt.NDArray[np.uint8]]


@pytest.fixture(scope="module")
def analysis(detector: Detector, draw: Draw) -> Analysis:
    return detector.analyze(draw(40, 64), name="photo.png")


def has(picture: npt.NDArray[np.uint8], colour: tuple[int, ...]) -> bool:
    return bool((picture == np.array(colour, np.uint8)).all(axis=2).any())


def test_the_image_is_in_it(analysis: Analysis, draw: Draw) -> None:
    """Enlarged by a whole number, every pixel a square."""
    rgb = draw(40, 64)
    found = np.asarray(draw_overlay(rgb, analysis))
    enlarged = rgb.repeat(8, axis=0).repeat(8, axis=1)
    left = 24
    tops = [
        top
        for top in range(found.shape[0] - enlarged.shape[0])
        if np.array_equal(found[top, left : left + enlarged.shape[1]], enlarged[0])
    ]
    assert any(np.array_equal(found[top : top + 320, left : left + 512], enlarged) for top in tops)


def test_the_warning_is_in_it(analysis: Analysis, draw: Draw) -> None:
    rgb = draw(40, 64)
    assert has(np.asarray(draw_overlay(rgb, analysis)), ALARM)
    models = tuple(
        replace(model, stand_in=False, weights="published") for model in analysis.provenance.models
    )
    quiet = replace(analysis, provenance=replace(analysis.provenance, models=models))
    assert not has(np.asarray(draw_overlay(rgb, quiet)), ALARM)


def test_both_colour_bars_are_whole(analysis: Analysis, draw: Draw) -> None:
    found = np.asarray(draw_overlay(draw(40, 64), analysis))
    for anchors in (INFERNO, VIRIDIS):
        for anchor in (anchors[:6], anchors[-6:]):
            assert has(found, tuple(bytes.fromhex(anchor)))


@pytest.mark.parametrize("size", [(32, 32), (32, 1000), (1000, 32), (700, 900)])
def test_every_shape(analysis: Analysis, draw: Draw, size: tuple[int, int]) -> None:
    flat = np.full(size, 0.5, np.float32)
    info = replace(analysis.image, height=size[0], width=size[1], name="x" * 500 + "\n图")
    found = draw_overlay(draw(*size), replace(analysis, map=flat, conf=flat, image=info))
    assert found.mode == "RGB"
    assert max(found.size) <= 2600


def test_where_nothing_is_forged_the_image_shows_through(analysis: Analysis) -> None:
    """The third panel, below the first: the image where the map is 0, colour where it is 1."""
    values = np.zeros((40, 64), np.float32)
    values[:, 32:] = 1.0
    white = np.full((40, 64, 3), 255, np.uint8)
    found = np.asarray(draw_overlay(white, replace(analysis, map=values)))
    row = found[found.shape[0] * 3 // 4, 24 : 24 + 512].astype(int)
    assert (row[:256] == 255).all()
    expected = 0.85 * table(INFERNO)[-1] + 0.15 * 255
    assert np.abs(row[256:] - expected).max() <= 2


@given(st.floats(0, 1, width=32))
def test_levels_are_the_nearest(value: float) -> None:
    assert abs(int(levels(np.array([value], np.float32))[0]) - value * 255) <= 0.5 + 1e-4


@pytest.mark.parametrize("anchors", [INFERNO, VIRIDIS])
def test_tables_grow_lighter_all_the_way(anchors: str) -> None:
    """So they can be read without seeing colours, and in print."""
    light = table(anchors).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > -0.5).all()
    assert light[-1] - light[0] > 150
    assert tuple(coloured(np.zeros((1, 1), np.float32), table(anchors))[0, 0]) == tuple(
        bytes.fromhex(anchors[:6])
    )
