"""The cameras leave the traces that cameras leave."""

from __future__ import annotations

import numpy as np
import pytest

from sample_dataset.maker.camera import MARGIN, photograph
from sample_dataset.maker.cameras import CAMERAS
from sample_dataset.maker.demosaic import METHODS, filter_array
from sample_dataset.maker.filters import gaussian

SIDE = 64 + 2 * MARGIN
GREY = np.full((SIDE, SIDE, 3), 0.4)
NAMES = sorted(CAMERAS)


def residual(picture):
    luma = picture.astype(np.float64).mean(axis=2)
    return luma - gaussian(luma, 2.0)


def test_at_least_three_different_cameras():
    assert len(CAMERAS) >= 3
    assert len({camera.pattern for camera in CAMERAS.values()}) == len(CAMERAS)
    assert len({camera.demosaicing for camera in CAMERAS.values()}) == len(METHODS)


@pytest.mark.parametrize("name", NAMES)
def test_grey_stays_grey_and_is_noisy(name):
    picture = photograph(GREY, CAMERAS[name], "grey")
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    means = picture.reshape(-1, 3).mean(axis=0)
    assert np.ptp(means) < 3.0
    assert 0.3 < residual(picture).std() < 6.0


@pytest.mark.parametrize("name", NAMES)
def test_corners_are_darker(name):
    picture = photograph(GREY, CAMERAS[name], "corner").astype(np.float64)
    assert picture[:8, :8].mean() < picture[28:36, 28:36].mean() - 2.0


@pytest.mark.parametrize("name", NAMES)
def test_two_shots_share_the_fixed_pattern_and_other_cameras_do_not(name):
    one = residual(photograph(GREY, CAMERAS[name], "one")).ravel()
    two = residual(photograph(GREY, CAMERAS[name], "two")).ravel()
    assert not np.array_equal(one, two)
    own = np.corrcoef(one, two)[0, 1]
    others = [
        np.corrcoef(one, residual(photograph(GREY, CAMERAS[other], "two")).ravel())[0, 1]
        for other in NAMES
        if other != name
    ]
    assert own > 0.15
    assert own > 2.0 * max(abs(value) for value in others)


def test_brighter_light_is_noisier_but_less_so_relative_to_itself():
    camera = CAMERAS["aster"]
    light = GREY.copy()
    light[:, : SIDE // 2] = 0.02
    dark, bright = np.split(photograph(light, camera, "steps").astype(np.float64), 2, axis=1)
    spread = [part[8:-8, 8:-8].std() / part[8:-8, 8:-8].mean() for part in (dark, bright)]
    assert spread[0] > spread[1]


def test_exposure_is_in_stops_and_automatic():
    camera = CAMERAS["borea"]
    plain = photograph(GREY, camera, "exposure").mean()
    assert photograph(GREY * 7.0, camera, "exposure").mean() == pytest.approx(plain, abs=0.5)
    assert photograph(GREY, camera, "exposure", exposure=-1.0).mean() < plain - 20.0


@pytest.mark.parametrize("pattern", ["RGGB", "GRBG", "BGGR", "GBRG"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_demosaicing_keeps_an_even_colour(method, pattern):
    colour = np.array([0.2, 0.5, 0.7])
    mosaic = colour[filter_array(pattern, (12, 16))]
    assert np.allclose(METHODS[method](mosaic, pattern), colour, atol=1e-6)


@pytest.mark.parametrize("pattern", ["RGGB", "GRBG", "BGGR", "GBRG"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_demosaicing_keeps_a_grey_ramp_inside(method, pattern):
    rows, columns = np.indices((16, 16))
    ramp = 0.1 + 0.02 * rows + 0.03 * columns
    out = METHODS[method](ramp, pattern)
    assert np.allclose(out[4:-4, 4:-4], ramp[4:-4, 4:-4, None], atol=1e-6)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_demosaicing_does_not_touch_what_was_measured(method):
    rng = np.random.default_rng(3)
    mosaic = rng.random((12, 12))
    out = METHODS[method](mosaic, "RGGB")
    channel = filter_array("RGGB", (12, 12))
    seen = np.take_along_axis(out, channel[..., None], axis=2)[..., 0]
    assert np.allclose(seen, mosaic)
