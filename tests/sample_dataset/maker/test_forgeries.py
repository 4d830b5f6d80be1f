"""Forgeries change what their mask says, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from sample_dataset.maker.draws import uniform
from sample_dataset.maker.filters import gaussian, to_bytes
from sample_dataset.maker.forgeries import Finish, Placement, blur, ellipse, grown, paste, rectangle
from sample_dataset.maker.inpainting import paint_out

SIDE = 64
HOST = to_bytes(40.0 + 120.0 * uniform("host", (SIDE, SIDE, 3)))
DONOR = to_bytes(100.0 + 150.0 * uniform("donor", (SIDE, SIDE, 3)))
MATTE = rectangle(SIDE, 10, 8, 26, 24)


def test_plain_copy_moves_pixels_exactly():
    forged, mask = paste(HOST, HOST, MATTE, Placement(20, 30), Finish(feather=0.0))
    assert np.array_equal(forged[30:46, 38:54], HOST[10:26, 8:24])
    assert np.array_equal(mask, rectangle(SIDE, 30, 38, 46, 54) > 0.5)
    assert np.array_equal(forged[~mask], HOST[~mask])


def test_splice_brings_the_donors_pixels():
    forged, mask = paste(HOST, DONOR, MATTE, Placement(0, 0), Finish(feather=0.6))
    assert np.array_equal(forged[14:22, 12:20], DONOR[14:22, 12:20])
    assert mask[18, 16]
    far = grown(MATTE, 4.0) == 0.0
    assert np.array_equal(forged[far], HOST[far])


def test_feather_blends_at_the_seam_only():
    black, white = np.zeros_like(HOST), np.full_like(HOST, 255)
    forged, mask = paste(black, white, MATTE, Placement(0, 0), Finish(feather=1.5))
    row = forged[18, :, 0].astype(int)
    assert ((row > 0) & (row < 255)).sum() >= 4
    assert np.array_equal(mask, forged[..., 0] >= 128)


def test_scale_turn_and_mirror():
    _, mask = paste(HOST, DONOR, MATTE, Placement(14, 14, scale=1.5), Finish(feather=0.0))
    assert mask.sum() == pytest.approx(1.5**2 * 16**2, rel=0.15)
    _, turned = paste(
        HOST, DONOR, rectangle(SIDE, 20, 12, 30, 52), Placement(6, 0, 1.0, 90.0), Finish(0.0)
    )
    tall, wide = np.ptp(np.nonzero(turned), axis=1) + 1
    assert tall > 2 * wide
    mirrored, _ = paste(HOST, DONOR, MATTE, Placement(0, 0, mirrored=True), Finish(0.0))
    assert np.array_equal(mirrored[14:22, 9:24], DONOR[14:22, 9:24][:, ::-1])


def test_painted_shadow_darkens_and_is_in_the_mask():
    light = np.full_like(HOST, 200)
    forged, mask = paste(
        light, light, ellipse(SIDE, (30, 30), (10, 10)), Placement(0, 0), Finish(0.5, shadow=0.7)
    )
    darkest = forged[..., 0].min()
    assert darkest < 120
    assert mask[forged[..., 0] < 150].all()
    assert not mask[0, 0]


def test_blur_takes_detail_away_inside_only():
    forged, mask = blur(HOST, MATTE, 2.0, feather=0.8)
    assert forged[14:22, 12:20].std() < 0.4 * HOST[14:22, 12:20].std()
    far = grown(MATTE, 4.0) == 0.0
    assert np.array_equal(forged[far], HOST[far])
    assert mask[18, 16]
    assert not mask[far].any()


def test_grown_is_larger_by_the_radius():
    matte = ellipse(SIDE, (32, 32), (8, 8))
    assert (grown(matte, 3.0) > 0.5).sum() == pytest.approx(np.pi * 11**2, rel=0.06)


def test_paint_out_continues_a_regular_pattern():
    columns = np.indices((SIDE, SIDE))[1]
    stripes = np.where((columns // 4) % 2 == 0, 200, 60)
    picture = np.stack([stripes, stripes, stripes // 2], axis=-1).astype(np.uint8)
    hole = ellipse(SIDE, (32, 30), (9, 11)) > 0.5
    damaged = picture.copy()
    damaged[hole] = (255, 0, 255)
    mended = paint_out(damaged, hole)
    assert np.array_equal(mended, picture)


def test_paint_out_leaves_the_rest_and_takes_nothing_from_the_hole():
    picture = to_bytes(gaussian(255.0 * uniform("out", (SIDE, SIDE, 3)), 1.0))
    hole = rectangle(SIDE, 20, 0, 40, 18) > 0.5  # at the border
    picture[hole] = (255, 0, 255)
    mended = paint_out(picture, hole)
    assert np.array_equal(mended[~hole], picture[~hole])
    assert not (mended[hole] == (255, 0, 255)).all(axis=1).any()
