"""Which pictures prove something: copies and flat ones are found by their pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.inputs.cases import ImageFile, Pixels
from trufor_onnx.parity.inputs.image_sets import find_images
from trufor_onnx.parity.inputs.looks import Look, Looks, different, document, is_flat, telling

SAMPLES = Path(__file__).resolve().parents[3] / "sample_dataset"
PHOTO = SAMPLES / "real" / "breakfast_table.jpg"


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Save pixels as a picture with a text chunk of its own."""

    def write(name: str, pixels: Pixels, **options: object) -> Path:
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        text = PngImagePlugin.PngInfo()
        text.add_text("name", name)
        more = {"pnginfo": text} if name.endswith("png") else {}
        Image.fromarray(pixels).save(folder / name, **more, **options)
        return folder

    return write


def look_at(pictures: list[ImageFile], size: tuple[int, int] | None = None) -> list[Look]:
    """What a run notes of its pictures."""
    looks = Looks(size)
    for picture in pictures:
        looks.add(picture.name, *picture.load())
    return looks.found


def counts(folder: Path) -> tuple[int, int, int, int]:
    found = document(look_at(find_images(folder)))
    return tuple(found[key] for key in ("different", "flat", "copies", "nearly_the_same"))


@pytest.fixture(scope="module")
def photo() -> Pixels:
    return np.asarray(Image.open(PHOTO).convert("RGB"))


def test_copies_are_one_picture_whatever_their_files_are(
    save: Callable[..., Path], photo: Pixels
) -> None:
    for number in range(12):
        folder = save(f"{number}.png", photo)
    save("x.bmp", photo)
    assert len({path.read_bytes() for path in folder.iterdir()}) == 13
    assert counts(folder) == (1, 0, 12, 0)


def test_some_changed_pixels_or_noise_of_a_level_make_no_new_picture(
    save: Callable[..., Path], photo: Pixels
) -> None:
    save("a.png", photo)
    changed = photo.copy()
    changed[7, 9:30] ^= 255
    save("b.png", changed)
    for seed in range(3):
        noise = np.random.default_rng(seed).integers(-1, 2, photo.shape)
        folder = save(f"c{seed}.png", np.clip(photo + noise, 0, 255).astype(np.uint8))
    assert counts(folder) == (1, 0, 0, 4)


def test_what_is_mirrored_or_cropped_elsewhere_is_another_picture(
    save: Callable[..., Path], photo: Pixels
) -> None:
    save("a.png", photo)
    save("b.png", photo[:, ::-1])
    folder = save("c.png", photo[40:, 40:])
    assert counts(folder) == (3, 0, 0, 0)


def test_every_picture_of_the_sample_set_is_different() -> None:
    """Forgeries too: they differ from their originals in one place only."""
    found = document(look_at(find_images(SAMPLES)))
    assert (found["images"], found["different"]) == (24, 24)
    assert (found["flat"], found["copies"], found["nearly_the_same"]) == (0, 0, 0)


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_flat_pictures(level: int) -> None:
    flat = np.full((64, 48, 3), level, dtype=np.uint8)
    assert is_flat(flat)
    noisy = np.clip(flat.astype(int) + np.random.default_rng(0).integers(-2, 3, flat.shape), 0, 255)
    assert is_flat(noisy.astype(np.uint8))
    speck = flat.copy()
    speck[5, 5:8] ^= 128
    assert is_flat(speck)
    speck[5:9] ^= 128
    assert not is_flat(speck)


def test_a_photograph_and_a_gradient_are_not_flat(photo: Pixels) -> None:
    assert not is_flat(photo)
    ramp = np.broadcast_to(np.arange(16, dtype=np.uint8)[:, None, None], (16, 9, 3))
    assert not is_flat(ramp)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 255))
def test_flat_pictures_of_any_size(height: int, width: int, level: int) -> None:
    assert is_flat(np.full((height, width, 3), level, dtype=np.uint8))


def test_pictures_that_all_are_flat_prove_nothing(save: Callable[..., Path]) -> None:
    for number in range(12):
        folder = save(f"{number}.png", np.full((20, 20, 3), number % 3, dtype=np.uint8))
    with pytest.raises(ParityError, match="all 12 images are of one colour"):
        telling(find_images(folder), wanted=2)
    with pytest.raises(ParityError, match="the only image is of one colour"):
        telling(find_images(folder, most=1), wanted=2)


def test_shapes_are_cut_from_pictures_that_show_something(
    save: Callable[..., Path], photo: Pixels
) -> None:
    save("0.png", np.zeros((20, 20, 3), dtype=np.uint8))
    save("1.png", photo)
    save("2.png", photo)
    folder = save("3.png", photo[::-1])
    names = [picture.name for picture in telling(find_images(folder), wanted=2)]
    assert names == ["1.png", "3.png"]


def test_a_network_of_fixed_size_sees_the_middle_only(save: Callable[..., Path]) -> None:
    """Pictures that differ in what is cropped away are copies to it, or flat."""
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        pixels[8:32, 8:32] = 7
        folder = save(f"{number}.png", pixels)
    pictures = find_images(folder)
    assert document(look_at(pictures))["different"] == 3
    assert document(look_at(pictures, (24, 24)))["flat"] == 3
    assert len(telling(pictures, wanted=3)) == 3
    with pytest.raises(ParityError, match="all 3 images are of one colour"):
        telling(pictures, wanted=2, size=(24, 24))


def test_what_cannot_be_read_is_left_to_its_row(save: Callable[..., Path], photo: Pixels) -> None:
    folder = save("a.png", photo)
    (folder / "b.png").write_bytes(b"spoiled")
    assert [held.name for held in telling(find_images(folder), wanted=2)] == ["a.png"]
    (folder / "a.png").write_bytes(b"spoiled")
    with pytest.raises(ParityError, match="no image can be read"):
        telling(find_images(folder), wanted=2)


def test_files_of_which_a_report_says_nothing_are_not_counted(
    save: Callable[..., Path], photo: Pixels
) -> None:
    save("a.png", photo)
    folder = save("b.png", photo[::-1])
    looks = look_at(find_images(folder))
    about = {"data_set": document(looks)}
    files = [look.sha256 for look in looks]
    assert different(about, files) == 2
    assert different(about, [files[0], "0" * 64]) == 1
    for nothing in ({}, {"data_set": None}, {"data_set": {"looks": {files[0]: {}}}}):
        assert different(nothing, files) == 0
