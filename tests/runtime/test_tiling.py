"""Tiles of every size give the map of the whole image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trufor_onnx.export.networks.preprocess import to_input
from trufor_onnx.export.networks.spec import Preprocessing
from trufor_onnx.runtime import AnalysisError, Detector
from trufor_onnx.runtime.tiling import BORDER, by_tiles, spans, tiles

Draw = Callable[..., npt.NDArray[np.uint8]]


@given(length=st.integers(1, 400), tile=st.integers(1, 500))
def test_spans_cover_every_pixel_once(length: int, tile: int) -> None:
    found = spans(length, tile)
    covered = [place for span in found for place in range(span.write.start, span.write.stop)]
    assert covered == list(range(length))
    for span in found:
        assert 1 <= span.write.stop - span.write.start <= tile
        # A full border, or the image's own edge.
        assert span.read.start == max(0, span.write.start - BORDER)
        assert span.read.stop == min(length, span.write.stop + BORDER)


def test_spans_are_of_nearly_one_size() -> None:
    sizes = {span.write.stop - span.write.start for span in spans(1025, 512)}
    assert max(sizes) - min(sizes) <= 1


def test_the_number_of_tiles() -> None:
    assert len(list(tiles(100, 130, 64))) == 2 * 3


def whole_and_tiled(detector: Detector, rgb: npt.NDArray[np.uint8], tile: int) -> float:
    """The largest difference between the map of the whole image and that by tiles."""
    session = detector._extractor
    assert session is not None

    def extract(part: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = session.run({"image": to_input(part, Preprocessing())})[
            "noiseprint"
        ][0, 0]
        return found

    return float(np.abs(by_tiles(rgb, tile, extract) - extract(rgb)).max())


@settings(deadline=None, max_examples=15)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.integers(8, 100),
    seed=st.integers(0, 9),
)
def test_exact_at_every_size(
    detector: Detector, draw: Draw, height: int, width: int, tile: int, seed: int
) -> None:
    """The tiny network is as deep as the full one, so that 17 pixels are just enough for it."""
    assert whole_and_tiled(detector, draw(height, width, seed), tile) <= 1e-6


def test_a_smaller_border_would_show(
    detector: Detector, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tests above can see: one pixel less."""
    rgb = draw(80, 80)
    monkeypatch.setattr("trufor_onnx.runtime.tiling.BORDER", 12)
    assert whole_and_tiled(detector, rgb, 40) > 1e-6


def test_the_analysis_does_not_depend_on_tiles(
    detector: Detector, tiny_models: object, draw: Draw
) -> None:
    rgb = draw(70, 90)
    whole = detector.analyze(rgb, noiseprint=True)
    with Detector(str(tiny_models), tile=33, threads=1) as other:
        tiled = other.analyze(rgb, noiseprint=True)
    assert whole.noiseprint is not None
    assert tiled.noiseprint is not None
    assert np.abs(whole.noiseprint - tiled.noiseprint).max() <= 1e-6
    assert np.abs(whole.map - tiled.map).max() <= 1e-5


@pytest.mark.parametrize("tile", [0, -5])
def test_no_such_tile(tile: int, draw: Draw) -> None:
    with pytest.raises(AnalysisError, match="a tile of"):
        by_tiles(draw(40, 40), tile, lambda part: part[..., 0].astype(np.float32))
