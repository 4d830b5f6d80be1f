"""Sizes that are chosen, sizes that are drawn, and made pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trufor_onnx.export.networks.registry import MIT_B2, NOISEPRINT_PP
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.files import sha256_bytes
from trufor_onnx.parity.inputs.cases import ImageFile
from trufor_onnx.parity.inputs.image_sets import find_images
from trufor_onnx.parity.inputs.shapes import drawn_cases, made_cases, shape_cases

DRAWN_2026 = ["shape:437x450", "shape:135x261", "shape:119x41", "shape:4x42x47"]


@pytest.fixture
def pictures(make_images: Callable[..., Path]) -> list[ImageFile]:
    return find_images(make_images(3))


def test_the_shape_matrix_of_a_network_of_free_size(pictures: list[ImageFile]) -> None:
    cases = shape_cases(MIT_B2, pictures)
    sizes = [case.size for case in cases]
    assert MIT_B2.trace_size in sizes
    assert (32, 32) in sizes  # the least
    assert any(h != w for h, w in sizes)
    assert any(h > w for h, w in sizes) and any(w > h for h, w in sizes)
    assert any(h % 32 and w % 32 and h % 8 == w % 8 == 0 for h, w in sizes)
    assert any(h % 2 and w % 2 for h, w in sizes)
    assert any(h > 256 and w > 256 for h, w in sizes)  # larger than traced, both ways
    assert any(h > 1024 for h, _ in sizes) and any(w > 512 for _, w in sizes)
    assert any(w > 4 * h for h, w in sizes) and any(h > 4 * w for h, w in sizes)
    assert sorted(len(case.pictures) for case in cases)[-3:] == [2, 3, 5]
    assert len({case.name for case in cases}) == len(cases)
    assert {"shape:101x77", "shape:2x96x128"} <= {case.name for case in cases}
    for case in cases:
        assert case.load().pixels.shape == (len(case.pictures), *case.size, 3)


@pytest.mark.parametrize("least", [1, 32, 33, 96, 128, 224])
def test_no_shape_is_below_what_the_network_takes(pictures: list[ImageFile], least: int) -> None:
    spec = replace(NOISEPRINT_PP, least_size=least, trace_size=(least + 9, least + 3))
    sizes = [case.size for case in shape_cases(spec, pictures)]
    assert all(min(size) >= least for size in sizes)
    assert any(h % 2 and w % 2 for h, w in sizes)
    assert any(h % 32 and h % 8 == w % 8 == 0 for h, w in sizes)
    assert len(sizes) >= 5


def test_a_network_traced_at_a_large_size_is_run_at_a_larger_one(pictures: list[ImageFile]) -> None:
    spec = replace(NOISEPRINT_PP, trace_size=(512, 768))
    assert (640, 864) in [case.size for case in shape_cases(spec, pictures)]


def test_a_network_of_fixed_size_has_that_and_batches(pictures: list[ImageFile]) -> None:
    spec: ModelSpec = replace(NOISEPRINT_PP, fixed_size=(24, 16))
    found = [(case.name, case.size, len(case.pictures)) for case in shape_cases(spec, pictures)]
    assert found == [
        ("shape:24x16", (24, 16), 1),
        ("shape:2x24x16", (24, 16), 2),
        ("shape:3x24x16", (24, 16), 3),
        ("shape:5x24x16", (24, 16), 5),
    ]
    assert drawn_cases(spec, pictures, 1) == []
    assert {case.size for case in made_cases(spec)} == {(24, 16)}


def test_a_batch_never_holds_the_same_image_twice(pictures: list[ImageFile]) -> None:
    for usable in (pictures, pictures[:1]):
        cases = [*shape_cases(NOISEPRINT_PP, usable), *drawn_cases(NOISEPRINT_PP, usable, 0)]
        for case in cases:
            pixels = case.load().pixels
            assert len({image.tobytes() for image in pixels}) == len(pixels) == len(case.pictures)
            if len(pixels) == 2 and len(usable) == 1:
                assert np.array_equal(pixels[0], pixels[1][:, ::-1])


@pytest.mark.parametrize("least", [1, 32, 700])
def test_sizes_are_drawn_from_the_seed(pictures: list[ImageFile], least: int) -> None:
    spec = replace(NOISEPRINT_PP, least_size=least, trace_size=(least + 9, least + 3))
    drawn = {seed: drawn_cases(spec, pictures, seed) for seed in range(40)}
    assert drawn[3] == drawn_cases(spec, pictures, 3)
    names = {tuple(case.name for case in cases) for cases in drawn.values()}
    assert len(names) == 40
    for cases in drawn.values():
        sizes = [case.size for case in cases if case.size]
        assert len(cases) == 4
        assert all(least <= side <= max(640, 2 * least) + 1 for size in sizes for side in size)
        assert min(sizes[0]) > 256  # a large one
        assert sizes[2][0] % 2 == sizes[2][1] % 2 == 1
        assert len(cases[3].pictures) in (4, 6, 7, 8)
    known = {case.name for case in shape_cases(spec, pictures)}
    assert not known & {case.name for cases in drawn.values() for case in cases}


def test_a_network_of_one_batch_is_given_no_other(pictures: list[ImageFile]) -> None:
    taken = replace(NOISEPRINT_PP.inputs[0], axes=(1, 3, "height", "width"))
    spec = replace(NOISEPRINT_PP, inputs=(taken,))
    cases = [*shape_cases(spec, pictures), *drawn_cases(spec, pictures, 7), *made_cases(spec)]
    assert {len(case.pictures) for case in cases} == {1}


def test_the_sizes_of_a_seed_are_the_same_on_every_machine(pictures: list[ImageFile]) -> None:
    spec = replace(NOISEPRINT_PP, name="net", version="1")
    assert [case.name for case in drawn_cases(spec, pictures, 2026)] == DRAWN_2026


def test_made_pictures_are_flat_or_saturated() -> None:
    cases = {case.name: case.load().pixels for case in made_cases(MIT_B2)}
    flat = {name: pixels for name, pixels in cases.items() if len(np.unique(pixels)) == 1}
    assert {name: int(pixels.max()) for name, pixels in flat.items()} == {
        "made:black": 0,
        "made:grey": 128,
        "made:white": 255,
    }
    assert cases.keys() - flat.keys() == {"made:saturated"}
    pixels = cases["made:saturated"]
    assert set(np.unique(pixels)) == {0, 255}
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 8  # every pure colour
    assert all(pixels.shape == (1, 64, 64, 3) for pixels in cases.values())


def test_made_pictures_have_digests_and_no_label() -> None:
    for case in made_cases(replace(MIT_B2, least_size=100)):
        loaded = case.load()
        assert loaded.pixels.shape == (1, 100, 100, 3)
        assert loaded.digests == (sha256_bytes(loaded.pixels.tobytes()),)
        assert (f"made:{case.made}", case.label) == (case.name, "")
