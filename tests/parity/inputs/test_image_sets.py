"""Folders, manifests, patterns, single files; masks, links and unreadable folders."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from trufor_onnx.errors import ParityError
from trufor_onnx.parity.inputs.image_sets import describe, find_images


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(where: Path, most: int | None = None) -> list[str]:
    return [picture.name for picture in find_images(where, most=most)]


def test_a_folder_gives_its_pictures_in_order_of_their_paths(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a/z.JPG", "a/b/c.webp", "a.txt", "notes.md", "c.png.part", "d.tiff")
    assert names(tmp_path) == ["a/b/c.webp", "a/z.JPG", "b.png", "d.tiff"]


def test_masks_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "x.png", "masks/x.png", "fake/mask/y.png", ".cache/z.png", "fake/.hidden.png")
    assert names(tmp_path) == ["x.png"]


def test_folders_called_real_and_fake_label(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.png", "fake/b.png", "c.png", "Fake/d.png", "fake/x/real/e.png")
    labels = {picture.name: picture.label for picture in find_images(tmp_path)}
    assert labels == {
        "real/a.png": "real",
        "fake/b.png": "fake",
        "c.png": "",
        "Fake/d.png": "fake",
        "fake/x/real/e.png": "real",
    }
    assert [picture.label for picture in find_images(tmp_path / "real")] == ["real"]
    assert describe(find_images(tmp_path)) == {"images": 5, "real": 2, "fake": 2}


@pytest.mark.parametrize("most", [1, 2, 99])
def test_the_first_so_many(tmp_path: Path, most: int) -> None:
    touch(tmp_path, "a.png", "b.png", "c.png")
    assert names(tmp_path, most) == ["a.png", "b.png", "c.png"][:most]


@pytest.mark.parametrize("most", [0, -1])
def test_no_images_are_no_choice(tmp_path: Path, most: int) -> None:
    touch(tmp_path, "a.png")
    with pytest.raises(ParityError, match="--max-images"):
        find_images(tmp_path, most=most)


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "masks/a.png", "readme.txt")
    with pytest.raises(ParityError, match="no images in"):
        find_images(tmp_path)


@pytest.mark.parametrize("where", ["missing", "missing.json", "missing/x.png"])
def test_a_wrong_place_is_an_error_that_names_it(tmp_path: Path, where: str) -> None:
    with pytest.raises(ParityError, match=f"no folder .*{where}"):
        find_images(tmp_path / where)


def test_a_folder_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.png", "closed/b.png")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(ParityError, match=r"closed: cannot be listed \(Permission denied\)"):
        find_images(tmp_path)


def test_links_to_folders_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    data = tmp_path / "data"
    touch(data, "real/a.png")
    touch(tmp_path, "elsewhere/b.png", "beside.png")
    (data / "again").symlink_to(data / "real")
    (data / "up").symlink_to(tmp_path)
    (data / "real" / "loop").symlink_to(data)
    (data / "real" / "self").symlink_to(".")
    (data / "other").symlink_to(tmp_path / "elsewhere")
    (data / "other2").symlink_to(tmp_path / "elsewhere")
    (data / "dangling").symlink_to(tmp_path / "nowhere")
    assert names(data) == ["other/b.png", "real/a.png"]


def test_a_manifest_decides_what_counts(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png", "unlisted.png")
    listed = {"images": [{"file": "b.png", "label": "fake"}, {"file": "gone.png"}]}
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    for where in (tmp_path, tmp_path / "manifest.json"):
        assert [(p.name, p.label) for p in find_images(where)] == [
            ("b.png", "fake"),
            ("gone.png", ""),
        ]
    assert find_images(tmp_path)[0].path == tmp_path / "b.png"


def test_a_manifest_of_any_name_has_paths_below_its_folder(tmp_path: Path) -> None:
    touch(tmp_path, "set/a.png")
    (tmp_path / "mine.json").write_text('{"images": [{"file": "set/a.png"}]}')
    (found,) = find_images(tmp_path / "mine.json")
    assert found.path == tmp_path / "set/a.png"


def test_an_empty_manifest_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "manifest.json").write_text('{"images": []}')
    with pytest.raises(ParityError, match="no images in"):
        find_images(tmp_path)


def test_a_single_image(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.png")
    (found,) = find_images(tmp_path / "real" / "a.png")
    assert (found.name, found.label, found.path) == ("a.png", "real", tmp_path / "real" / "a.png")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["top.png"]),
        ("**/*.png", ["fake/deep/c.png", "real/a.png", "top.png"]),
        ("r*/*", ["real/a.png", "real/b.jpg"]),
        ("real/[ab].*", ["a.png", "b.jpg"]),
        ("real/?.jpg", ["b.jpg"]),
        ("**/*", ["fake/deep/c.png", "real/a.png", "real/b.jpg", "top.png"]),
    ],
)
def test_a_pattern(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    touch(tmp_path, "top.png", "real/a.png", "real/b.jpg", "real/c.txt", "fake/deep/c.png")
    touch(tmp_path, "masks/m.png", ".git/o.png", "real/.d.png")
    (tmp_path / "folder.png").mkdir()
    assert names(tmp_path / pattern) == expected


def test_a_pattern_labels_by_the_folders_that_it_names(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.png", "fake/b.png")
    assert [p.label for p in find_images(tmp_path / "real" / "*.png")] == ["real"]
    assert [p.label for p in find_images(tmp_path / "*" / "*.png")] == ["fake", "real"]


def test_a_relative_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "set/a.png")
    monkeypatch.chdir(tmp_path)
    assert names(Path("*/a.png")) == ["set/a.png"]


@pytest.mark.parametrize(
    ("pattern", "problem"), [("*.gif", "no images in"), ("**x/*", "no pattern")]
)
def test_a_pattern_that_finds_nothing_or_is_none(
    tmp_path: Path, pattern: str, problem: str
) -> None:
    touch(tmp_path, "a.png")
    with pytest.raises(ParityError, match=problem):
        find_images(tmp_path / pattern)


def test_a_name_with_brackets_is_a_name_where_it_exists(tmp_path: Path) -> None:
    touch(tmp_path, "set[1]/a.png")
    assert names(tmp_path / "set[1]") == ["a.png"]


def test_thousands_of_names(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{n % 7}/{n:05d}.png" for n in range(3000)))
    assert len(names(tmp_path)) == 3000
