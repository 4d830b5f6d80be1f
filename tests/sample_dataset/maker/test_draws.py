"""Draws are the same everywhere and look like what they claim to be."""

from __future__ import annotations

import numpy as np

from sample_dataset.maker.draws import mix, normal, start, uniform


def test_splitmix64_matches_its_published_sequence():
    # The first outputs of SplitMix64 from state 0 (the reference program by Vigna prints them).
    golden = np.uint64(0x9E3779B97F4A7C15)
    states = np.arange(1, 4, dtype=np.uint64) * golden
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [int(word) for word in mix(states)] == expected


def test_start_is_the_beginning_of_the_keys_sha256():
    # printf abc | sha256sum: ba7816bf8f01cfea...
    assert int(start("abc")).to_bytes(8, "little").hex() == "ba7816bf8f01cfea"


def test_uniform_fills_its_range():
    draw = uniform("range", (200, 500))
    assert draw.shape == (200, 500)
    assert draw.min() >= 0.0
    assert draw.max() < 1.0
    assert abs(draw.mean() - 0.5) < 0.005
    assert abs(draw.var() - 1 / 12) < 0.001
    lag = np.corrcoef(draw.ravel()[1:], draw.ravel()[:-1])[0, 1]
    assert abs(lag) < 0.02


def test_keys_and_only_keys_tell_draws_apart():
    assert np.array_equal(uniform("a", 100), uniform("a", 200)[:100])
    assert abs(np.corrcoef(uniform("a", 10_000), uniform("b", 10_000))[0, 1]) < 0.05


def test_normal_has_the_moments_of_a_normal():
    draw = normal("moments", 100_000)
    assert abs(draw.mean()) < 0.02
    assert abs(draw.var() - 1.0) < 0.02
    assert abs((draw**4).mean() - 3.0) < 0.15
