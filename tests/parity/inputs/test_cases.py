"""Pictures as they are on disk, read once, and the inputs that are made of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trufor_onnx.errors import ParityError, UserError
from trufor_onnx.export.networks.registry import MIT_B2, NOISEPRINT_PP, TRUFOR_HEAD
from trufor_onnx.export.networks.spec import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ModelSpec,
    Preprocessing,
    TensorSpec,
)
from trufor_onnx.files import sha256_bytes, sha256_file
from trufor_onnx.parity.inputs.cases import KINDS, Case, ImageFile, Made, fit, make_feeds, readable
from trufor_onnx.parity.inputs.image_sets import find_images
from trufor_onnx.parity.results.limits import undefined
from trufor_onnx.parity.results.rows import SOURCE, Status
from trufor_onnx.parity.results.summary import summarise
from trufor_onnx.parity.results.tolerances import Tolerance

SIDE = st.integers(1, 40)
PLAIN = Preprocessing()


@pytest.fixture
def pictures(make_images: Callable[..., Path]) -> list[ImageFile]:
    return find_images(make_images(3))


def test_a_picture_is_loaded_as_it_is(pictures: list[ImageFile]) -> None:
    rgb, sha256 = pictures[0].load()
    assert rgb.dtype == np.uint8
    assert np.array_equal(rgb, np.asarray(Image.open(pictures[0].path)))
    assert sha256 == sha256_file(pictures[0].path)


def test_a_case_of_one_picture(pictures: list[ImageFile]) -> None:
    loaded = Case("a", (pictures[1],)).load()
    assert loaded.pixels.shape == (1, 48, 40, 3)
    assert np.array_equal(loaded.pixels[0], pictures[1].load()[0])
    assert loaded.name == "a"
    assert loaded.digests == (loaded.sha256,) == (sha256_file(pictures[1].path),)
    assert loaded.pixels_sha256 == sha256_bytes(loaded.pixels.tobytes())


def test_a_held_picture_is_not_opened_again(pictures: list[ImageFile]) -> None:
    rgb, sha256 = pictures[0].load()
    held = pictures[0].held()
    pictures[0].path.unlink()
    assert held.held() is held and held.load()[1] == held.sha256 == sha256
    loaded = Case("shape:8x8", (held, pictures[1], held), (8, 8)).load()
    assert np.array_equal(loaded.pixels[0], fit(rgb, (8, 8)))
    assert np.array_equal(loaded.pixels[2], loaded.pixels[0][:, ::-1])  # the second time
    assert (held.path, held.name, held.label) == (pictures[0].path, pictures[0].name, "")
    with pytest.raises(ParityError, match="no such file"):
        pictures[0].held()


def test_a_picture_that_is_not_the_listed_one_is_refused(pictures: list[ImageFile]) -> None:
    digest = sha256_file(pictures[0].path)
    assert replace(pictures[0], expected_sha256=digest).load()[1] == digest
    bad = replace(pictures[0], expected_sha256="0" * 64)
    for use in (bad.load, bad.held, Case("shape:8x8", (pictures[1], bad), (8, 8)).load):
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
    for use in (ImageFile(path, "x").load, ImageFile(path, "x").held):
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
    good = [picture.held() for picture in pictures[1:]]
    assert readable(pictures, wanted=2) == good
    assert readable(pictures, wanted=1) == good[:1]
    assert readable(pictures, wanted=9) == good


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


def test_a_case_has_its_first_picture_s_label(make_images: Callable[..., Path]) -> None:
    make_images(1, label="real")
    fake, real = find_images(make_images(1, label="fake"))
    assert Case("x", (fake, real)).label == "fake"
    assert Case("x", (real,)).label == "real"


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


LIMIT = Tolerance(
    mae=1e-5, max_abs=1e-4, row_ratio=3.0, accuracy_ratio=1.5, noise_floor=1e-6, reason="a test"
)
ONE = np.full((1, 1, 4, 4), 0.5, dtype=np.float32)
TRUTH = ONE.astype(np.float64)


def nan(array: np.ndarray) -> np.ndarray:
    found = array.copy()
    found[0, 0, 1, 1] = np.nan
    return found


@pytest.mark.parametrize(
    ("candidate", "reference", "source", "said"),
    [
        (ONE + 1, TRUTH, ONE, ""),  # wrong
        (ONE + np.float32(5e-4), TRUTH, ONE, "off by 0.0005"),  # an enlarged rounding
        (ONE + np.float32(2e-2), TRUTH, ONE, ""),  # more than that
        (nan(ONE), TRUTH, ONE, ""),  # wrong: the network has an answer
        (ONE, nan(TRUTH), nan(ONE), "float64 itself gives NaN"),
        (nan(ONE), nan(TRUTH), nan(ONE), "float64 itself gives NaN"),
        (nan(ONE), TRUTH, nan(ONE), "float32 itself gives NaN"),
        (ONE + 1, TRUTH, ONE + np.float32(0.3), "off by 0.3"),
        (nan(ONE), TRUTH, ONE + np.float32(0.3), ""),  # wrong in any case
        (ONE[..., :2], nan(TRUTH), nan(ONE), ""),  # another shape is wrong in any case
        (ONE.astype(np.float64), nan(TRUTH), nan(ONE), ""),  # another type too
    ],
)
def test_where_the_network_has_no_answer(
    candidate: np.ndarray, reference: np.ndarray, source: np.ndarray, said: str
) -> None:
    found = undefined("grey", candidate, reference, source, LIMIT)
    assert (said in found) if said else found == ""


def test_no_rounding_is_enlarged_on_a_saturated_picture() -> None:
    assert undefined("saturated", ONE + np.float32(5e-4), TRUTH, ONE, LIMIT) == ""


def test_wide_limits_are_not_enlarged() -> None:
    half = replace(LIMIT, mae=5e-3, max_abs=5e-2, noise_floor=5e-3)  # float16: no ratio is judged
    assert undefined("grey", ONE + np.float32(0.4), TRUTH, ONE, half) == ""


def test_made_pictures_are_run_without_being_asked_for(
    parity: Any, exported: Any, make_images: Any
) -> None:
    exported("tiny_np")
    make_images(1)
    ran = parity(shapes=False)
    assert ran.code == 0
    assert {row["image"] for row in ran.report["shape_rows"]} == {f"made:{kind}" for kind in KINDS}
    assert {row["image"] for row in ran.report["rows"]} == {"image_0000.png"}
    cases = [group["cases"] for group in ran.report["summary"]["groups"]]
    assert cases == ["images", "images", "made", "made"]


def test_a_file_that_gives_nan_on_a_flat_picture_fails(
    parity: Any, edited: Callable[..., Path], make_images: Any
) -> None:
    """``y * spread / spread``: nothing where pixels differ, 0/0 where they do not."""

    def divide(proto: onnx.ModelProto) -> None:
        output, image = proto.graph.output[0].name, proto.graph.input[0].name
        proto.graph.node[-1].output[0] = "before"
        proto.graph.node.extend(
            [
                onnx.helper.make_node("ReduceMax", [image], ["high"], axes=[1, 2, 3]),
                onnx.helper.make_node("ReduceMin", [image], ["low"], axes=[1, 2, 3]),
                onnx.helper.make_node("Sub", ["high", "low"], ["spread"]),
                onnx.helper.make_node("Div", ["spread", "spread"], ["one"]),
                onnx.helper.make_node("Mul", ["before", "one"], [output]),
            ]
        )

    make_images(2)
    ran = parity("--candidate", f"tiny_np={edited('tiny_np', divide)}")
    assert ran.code == 1
    failed = {row["image"] for row in [*ran.rows, *ran.made_rows] if row["status"] == "fail"}
    assert failed == {"made:black", "made:grey", "made:white"}


def test_made_pictures_are_no_part_of_the_accuracy_ratio(make: Any) -> None:
    def rows(image: str, mae: float) -> list[Any]:
        source = make.row(image=image, backend=SOURCE, variant="source", mae=1e-6)
        return [source, make.row(image=image, mae=mae)]

    made = [row for kind in KINDS for row in rows(f"made:{kind}", 9e-6)]
    shapes = [row for size in range(6) for row in rows(f"shape:{size}x9", 1e-6)]
    groups = [g for g in summarise([*shapes, *made], "shapes") if g.backend != SOURCE]
    assert [(g.cases, g.rows, g.status) for g in groups] == [
        ("shapes", 6, Status.PASS),
        ("made", 4, Status.PASS),
    ]
    assert groups[0].accuracy_ratio == 1.0


def test_a_made_picture_without_an_answer_is_said_and_not_failed(make: Any) -> None:
    rows = [make.row(image=f"made:{kind}") for kind in KINDS]
    no_answer = dict.fromkeys(("mae", "max_abs", "mae_torch32", "accuracy_ratio"))
    rows[0] = replace(rows[0], status=Status.NOT_RUN, reason="NaN there", **no_answer)
    (group,) = summarise(rows, "shapes")
    assert (group.status, group.rows) == (Status.PASS, 3)
    shape = replace(rows[0], image="shape:9x9")
    (group,) = summarise([replace(rows[1], image="shape:8x8"), shape], "shapes")
    assert group.status is Status.FAIL  # no other case may be without one


def test_a_case_of_a_made_picture() -> None:
    made = Made("grey", (5, 7))
    loaded = Case(made.name, (made,), made.size).load()
    pixels = loaded.pixels
    assert pixels.shape == (1, 5, 7, 3) and set(np.unique(pixels)) == {128}
    assert len(loaded.sha256) == 64
