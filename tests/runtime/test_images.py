"""Which images a command line means, and whatever a caller has, as the same upright pixels."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from trufor_onnx.runtime import ImageError, OutputError, load_picture
from trufor_onnx.runtime.images import find_images

Draw = Callable[..., npt.NDArray[np.uint8]]


def turned(rgb: npt.NDArray[np.uint8]) -> bytes:
    """A PNG file to be shown turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "PNG", exif=exif)
    return stream.getvalue()


def test_orientation_is_applied_to_every_way_in(draw: Draw, tmp_path: Path) -> None:
    rgb = draw(4, 6)
    data = turned(rgb)
    path = tmp_path / "turned.png"
    path.write_bytes(data)
    for way in (path, str(path), data, Image.open(path), Image.open(io.BytesIO(data))):
        found = load_picture(way)
        assert np.array_equal(found.rgb, np.rot90(rgb, -1))
        assert (found.info.height, found.info.width) == (6, 4)
        assert found.info.notes[0].startswith("turned upright (EXIF orientation 6)")


def test_a_given_picture_is_not_changed(draw: Draw) -> None:
    picture = Image.open(io.BytesIO(turned(draw(4, 6))))
    load_picture(picture)
    assert picture.size == (6, 4)
    assert picture.getexif()[0x0112] == 6


def test_digests(draw: Draw, tmp_path: Path) -> None:
    rgb = draw(4, 6)
    path = tmp_path / "a.png"
    Image.fromarray(rgb).save(path)
    assert load_picture(path).info.sha256 == sha256(path.read_bytes()).hexdigest()
    assert load_picture(rgb).info.sha256 == sha256(rgb.tobytes()).hexdigest()
    assert load_picture(Image.fromarray(rgb)).info.sha256 == sha256(rgb.tobytes()).hexdigest()


def test_names(draw: Draw, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(draw(4, 6)).save(path)
    assert load_picture(path).info.name == str(path)
    assert load_picture(path, name="photo").info.name == "photo"
    assert load_picture(draw(4, 6)).info.name == "array"
    assert load_picture(path.read_bytes()).info.format == "PNG"


def test_views_of_arrays(draw: Draw) -> None:
    rgb = draw(8, 6)
    found = load_picture(rgb[::2, ::-1])
    assert np.array_equal(found.rgb, rgb[::2, ::-1])
    assert found.rgb.flags.c_contiguous


def test_a_picture_that_pillow_has_opened_and_cannot_load(draw: Draw) -> None:
    picture = Image.open(io.BytesIO(turned(draw(40, 40))[:2000]))
    with pytest.raises(ImageError, match="pillow image: damaged picture"):
        load_picture(picture)
    with pytest.raises(ImageError, match="too many pixels"):
        load_picture(Image.new("RGB", (50, 50)), largest_pixels=2499)
    with pytest.raises(ImageError, match="mode F"):
        load_picture(Image.new("F", (50, 50)))


def names(*where: str | Path, beside: Path | None = None) -> list[str]:
    return [image.name for image in find_images(where, beside=beside)]


def test_a_folder(photos: Path) -> None:
    (photos / "notes.txt").write_text("no picture")
    (photos / ".hidden.png").write_bytes(b"")
    (photos / ".thumbs").mkdir()
    (photos / ".thumbs" / "t.png").write_bytes(b"")
    (photos / "phone.HEIC").write_bytes(b"")
    assert names(photos) == ["a.png", "b.jpg", "phone.HEIC", "trip/c.png"]


def test_patterns(photos: Path) -> None:
    assert names(str(photos / "*.png")) == ["a.png"]
    assert names(str(photos / "**/*.png")) == ["a.png", "trip/c.png"]


def test_named_files_are_taken_as_they_are(photos: Path) -> None:
    odd = photos / "a [1].picture"
    odd.write_bytes(b"")
    assert names(odd, photos / "absent.jpg") == ["a [1].picture", "absent.jpg"]


def test_each_image_once(photos: Path) -> None:
    assert names(photos, photos / "a.png", photos) == ["a.png", "b.jpg", "trip/c.png"]


def test_links_that_loop(photos: Path) -> None:
    (photos / "trip" / "up").symlink_to(photos)
    (photos / "self").symlink_to(photos / "self")
    (photos / "other").symlink_to(photos / "trip")
    assert sorted(Path(name).name for name in names(photos)) == ["a.png", "b.jpg", "c.png"]


def test_results_are_not_images(photos: Path) -> None:
    out = photos / "results"
    out.mkdir()
    (out / "a.png.map.png").write_bytes(b"")
    assert names(photos, beside=out) == ["a.png", "b.jpg", "trip/c.png"]
    assert names(str(photos / "**/*.png"), beside=out) == ["a.png", "trip/c.png"]


def test_results_into_the_images_own_folder(photos: Path) -> None:
    for out in (photos, photos.parent):
        with pytest.raises(OutputError, match="would be taken for images"):
            names(photos, beside=out)


def test_two_of_one_name(photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.png").write_bytes(b"x")
    with pytest.raises(OutputError, match=r"would both be called a\.png"):
        names(photos, other)


@pytest.mark.parametrize("where", [[], ["*.png"], ["."]])
def test_none(where: list[str]) -> None:
    with pytest.raises(ImageError, match="no images in"):
        find_images(where)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed(photos: Path) -> None:
    (photos / "trip").chmod(0)
    try:
        with pytest.raises(ImageError, match="cannot be listed"):
            names(photos)
    finally:
        (photos / "trip").chmod(0o755)
