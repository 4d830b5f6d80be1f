"""Which images a command line means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trufor_onnx.runtime import ImageError, OutputError
from trufor_onnx.runtime.images import find_images


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
