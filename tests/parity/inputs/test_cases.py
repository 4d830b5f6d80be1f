"""Pictures as they are on disk, and the shapes that are cut from them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trufor_onnx.errors import ParityError, UserError
from trufor_onnx.export.networks.registry import MIT_B2, NOISEPRINT_PP
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.files import sha256_file
from trufor_onnx.parity.inputs.cases import (
    Case,
    ImageFile,
    drawn_cases,
    fit,
    made_cases,
    readable,
    shape_cases,
)
from trufor_onnx.parity.inputs.image_sets import find_images

SIDE = st.integers(1, 40)
DRAWN_2026 = ["shape:437x450", "shape:135x261", "shape:119x41", "shape:4x42x47"]


@pytest.fixture
def pictures(make_images: Callable[..., Path]) -> list[ImageFile]:
    return find_images(make_images(3))


def test_a_picture_is_loaded_as_it_is(pictures: list[ImageFile]) -> None:
    rgb, sha256 = pictures[0].load()
    assert rgb.dtype == np.uint8
    assert np.array_equal(rgb, np.asarray(Image.open(pictures[0].path)))
    assert sha256 == pictures[0].digest() == sha256_file(pictures[0].path)


def test_a_case_of_one_picture(pictures: list[ImageFile]) -> None:
    case = Case("a", (pictures[1],))
    pixels, sha256 = case.load()
    assert pixels.shape == (1, 48, 40, 3)
    assert np.array_equal(pixels[0], pictures[1].load()[0])
    assert sha256 == pictures[1].digest()
    assert case.digests() == [sha256]


def test_a_picture_that_is_not_the_listed_one_is_refused(pictures: list[ImageFile]) -> None:
    good = replace(pictures[0], expected_sha256=pictures[0].digest())
    assert good.load()[1] == good.digest()
    bad = replace(pictures[0], expected_sha256="0" * 64)
    for use in (bad.load, bad.digest, Case("shape:8x8", (pictures[1], bad), (8, 8)).load):
        with pytest.raises(ParityError, match="not the file that the manifest lists"):
            use()


@pytest.mark.parametrize("kind", ["missing", "folder", "dangling", "pipe"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.png"
    if kind == "folder":
        path.mkdir()
    elif kind == "dangling":
        path.symlink_to(tmp_path / "gone.png")
    elif kind == "pipe":
        os.mkfifo(path)
    expected = "no such file" if kind in ("missing", "dangling") else "not a regular file"
    for use in (ImageFile(path, "x").load, ImageFile(path, "x").digest):
        with pytest.raises(ParityError, match=expected):
            use()


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.png"):
        ImageFile(tmp_path / "x.png", "x.png").load()


def test_a_truncated_picture_is_refused(pictures: list[ImageFile]) -> None:
    whole = pictures[0].path.read_bytes()
    pictures[0].path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        pictures[0].load()


def test_the_first_readable_pictures(pictures: list[ImageFile]) -> None:
    pictures[0].path.write_bytes(b"spoiled")
    assert readable(pictures, wanted=2) == pictures[1:]
    assert readable(pictures, wanted=1) == pictures[1:2]
    assert readable(pictures, wanted=9) == pictures[1:]


def test_none_readable_is_an_error_that_names_them(pictures: list[ImageFile]) -> None:
    many = [replace(p, path=p.path.with_name(f"{n}{p.path.name}")) for n in "ab" for p in pictures]
    with pytest.raises(ParityError) as caught:
        readable(many, wanted=2)
    assert str(many[0].path) in caught.value.problem
    assert "and 3 more" in caught.value.problem
    with pytest.raises(ParityError, match="no image can be read"):
        readable([], wanted=2)


@given(SIDE, SIDE, SIDE, SIDE)
def test_fit_cuts_or_mirrors_and_never_resizes(
    height: int, width: int, wanted_height: int, wanted_width: int
) -> None:
    rgb = np.arange(height * width * 3).reshape(height, width, 3) % 251
    found = fit(rgb.astype(np.uint8), (wanted_height, wanted_width))
    assert found.shape == (wanted_height, wanted_width, 3)
    assert found.flags.c_contiguous

    def source(length: int, wanted: int) -> np.ndarray:
        """Which row of the picture stands where: the middle, or all of it mirrored outwards."""
        start = (length - wanted) // 2 if wanted <= length else -((wanted - length) // 2)
        position = np.arange(start, start + wanted) % (2 * length)
        return np.where(position < length, position, 2 * length - 1 - position)

    expected = rgb[source(height, wanted_height)][:, source(width, wanted_width)]
    assert np.array_equal(found, expected)


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
        assert case.load()[0].shape == (len(case.pictures), *case.size, 3)


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
            pixels, _ = case.load()
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
    cases = {case.name: case.load()[0] for case in made_cases(MIT_B2)}
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
        pixels, digest = case.load()
        assert pixels.shape == (1, 100, 100, 3)
        assert case.digests() == [digest]
        assert (f"made:{case.made}", case.label) == (case.name, "")


def test_a_case_has_its_first_picture_s_label(make_images: Callable[..., Path]) -> None:
    make_images(1, label="real")
    fake, real = find_images(make_images(1, label="fake"))
    assert Case("x", (fake, real)).label == "fake"
    assert Case("x", (real,)).label == "real"
