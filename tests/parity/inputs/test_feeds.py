"""From pixels to a network's named inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trufor_onnx.errors import ParityError
from trufor_onnx.export.networks.registry import MIT_B2, NOISEPRINT_PP, TRUFOR_HEAD
from trufor_onnx.export.networks.spec import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ModelSpec,
    Preprocessing,
    TensorSpec,
)
from trufor_onnx.parity.inputs.feeds import make_feeds

PLAIN = Preprocessing()


def batch(count: int = 2, height: int = 33, width: int = 40) -> np.ndarray:
    size = (count, height, width, 3)
    return np.random.default_rng(5).integers(0, 256, size, dtype=np.uint8)


def noiseprint(pixels: np.ndarray) -> np.ndarray:
    """(B, 1, H, W): the green channel, so that it can be known again."""
    return pixels[..., 1][:, np.newaxis].astype(np.float64) / 3.0


def test_one_input() -> None:
    pixels = batch()
    feeds = make_feeds(NOISEPRINT_PP, pixels, PLAIN)
    assert set(feeds) == {"image"}
    expected = (pixels.astype(np.float64) / 256.0).transpose(0, 3, 1, 2)
    assert feeds["image"].dtype == np.float32
    assert np.array_equal(feeds["image"], expected.astype(np.float32))


@pytest.mark.parametrize("scale", [255.0, 256.0])
def test_scale_mean_and_standard_deviation(scale: float) -> None:
    pixels = batch(1)
    given = Preprocessing(scale=scale, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    found = make_feeds(NOISEPRINT_PP, pixels, given)["image"]
    values = pixels[0].astype(np.float64) / scale
    expected = ((values - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)
    assert np.array_equal(found[0], expected.astype(np.float32))


def test_the_second_input_is_the_noiseprint_repeated_to_its_channels() -> None:
    pixels = batch()
    feeds = make_feeds(MIT_B2, pixels, PLAIN, noiseprint)
    assert list(feeds) == ["rgb", "np"]
    single = noiseprint(pixels).astype(np.float32)
    assert feeds["np"].shape == (2, 3, 33, 40)
    assert feeds["np"].flags.c_contiguous
    assert all(np.array_equal(feeds["np"][:, [channel]], single) for channel in range(3))


def test_a_free_channel_axis_gets_one_channel() -> None:
    feeds = make_feeds(TRUFOR_HEAD, batch(), PLAIN, noiseprint)
    assert feeds["np"].shape == (2, 1, 33, 40)


def test_a_fixed_size_is_cut_not_resized() -> None:
    pixels = batch(1, 30, 20)
    spec = replace(NOISEPRINT_PP, fixed_size=(10, 24))
    found = make_feeds(spec, pixels, PLAIN)["image"]
    assert found.shape == (1, 3, 10, 24)
    middle = (pixels[0, 10:20].astype(np.float64) / 256).transpose(2, 0, 1)
    assert np.array_equal(found[0, :, :, 2:22], middle.astype(np.float32))


@pytest.mark.parametrize("size", [(31, 40), (40, 31), (1, 1)])
def test_too_few_pixels_are_an_error_that_says_the_least(size: tuple[int, int]) -> None:
    with pytest.raises(ParityError, match=f"{size[0]} x {size[1]} pixels are fewer") as caught:
        make_feeds(MIT_B2, batch(1, *size), PLAIN, noiseprint)
    assert "32 x 32" in caught.value.hint


def test_a_missing_noiseprint_or_an_input_without_a_rule_is_an_error() -> None:
    with pytest.raises(ParityError, match="needs a Noiseprint"):
        make_feeds(MIT_B2, batch(1), PLAIN)
    extra = TensorSpec("mystery", ("batch", 3, "height", "width"), "nobody knows")
    spec: ModelSpec = replace(NOISEPRINT_PP, inputs=(*NOISEPRINT_PP.inputs, extra))
    with pytest.raises(ParityError, match="mystery"):
        make_feeds(spec, batch(1), PLAIN)
