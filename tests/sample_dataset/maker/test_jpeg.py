"""Our JPEG does to pixels what a JPEG library does."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sample_dataset.maker.draws import uniform
from sample_dataset.maker.filters import gaussian, to_bytes
from sample_dataset.maker.jpeg import through_jpeg

PICTURE = to_bytes(255.0 * np.clip(gaussian(uniform("jpeg", (64, 80, 3)), 1.5) * 4.0 - 1.5, 0, 1))


def through_pillow(picture, quality, subsampled):
    stream = io.BytesIO()
    Image.fromarray(picture).save(
        stream, "JPEG", quality=quality, subsampling="4:2:0" if subsampled else "4:4:4"
    )
    return np.asarray(Image.open(stream))


@pytest.mark.parametrize("quality", [30, 75, 92])
def test_full_colour_agrees_with_pillow(quality):
    ours = through_jpeg(PICTURE, quality, subsampled=False).astype(int)
    theirs = through_pillow(PICTURE, quality, subsampled=False).astype(int)
    damage = np.abs(theirs - PICTURE.astype(int)).mean()
    assert np.abs(ours - theirs).mean() < 0.15 * damage
    assert np.abs(ours - theirs).mean() < 0.5


def test_half_colour_agrees_with_pillow_in_brightness():
    """In colour the two differ: libjpeg smooths while enlarging."""
    weights = [0.299, 0.587, 0.114]
    ours = through_jpeg(PICTURE, 85, subsampled=True) @ weights
    theirs = through_pillow(PICTURE, 85, subsampled=True) @ weights
    assert np.abs(ours - theirs).mean() < 1.0


def test_even_picture_is_kept():
    even = np.full((16, 32, 3), (90, 140, 200), np.uint8)
    assert np.abs(through_jpeg(even, 95, subsampled=True).astype(int) - even).max() <= 2


def test_lower_quality_damages_more():
    damage = [
        np.abs(through_jpeg(PICTURE, quality, subsampled=False).astype(int) - PICTURE).mean()
        for quality in (95, 80, 50, 20)
    ]
    assert damage == sorted(damage)
    assert damage[0] < damage[-1] / 3


def test_second_save_at_the_same_quality_changes_little():
    once = through_jpeg(PICTURE, 80, subsampled=False)
    twice = through_jpeg(once, 80, subsampled=False)
    assert np.abs(once.astype(int) - twice).mean() < 0.2 * np.abs(PICTURE.astype(int) - once).mean()
