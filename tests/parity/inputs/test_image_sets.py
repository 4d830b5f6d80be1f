"""Folders, manifests, patterns, single files; a manifest names files inside its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.errors import ParityError
from trufor_onnx.files import sha256_file
from trufor_onnx.parity.inputs.image_sets import ListedImage, describe, find_images, read_manifest


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


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def write_and_read(document: object) -> list[ListedImage]:
        path = tmp_path / "manifest.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return read_manifest(path)

    return write_and_read


def test_all_that_it_reads(read: Any) -> None:
    digest = "0123456789abcdef" * 4
    found = read(
        {
            "schema_version": 1,
            "license": "of no interest here",
            "images": [
                {"file": "fake/a.png", "label": "fake", "sha256": digest, "mask": "masks/a.png"},
                {"file": "./real//b.jpg", "camera": "x", "mask": None, "label": None},
            ],
        }
    )
    assert found == [
        ListedImage("fake/a.png", "fake", digest, "masks/a.png"),
        ListedImage("real/b.jpg", "", "", ""),
    ]


def test_the_sample_pictures_manifest_is_one_of_these(tmp_path: Path) -> None:
    from sample_dataset.maker import manifest as samples

    entry = samples.Entry(
        file="fake/x.jpg",
        label="fake",
        kind="splice",
        camera="c",
        scene="s",
        encoding={"format": "JPEG"},
        sha256="a" * 64,
        size_bytes=3,
        pixels_sha256="b" * 64,
        mask="masks/x.png",
    )
    path = tmp_path / samples.MANIFEST_NAME
    path.write_bytes(samples.encode(samples.Manifest("seed", (entry,), {})))
    assert read_manifest(path) == [ListedImage("fake/x.jpg", "fake", "a" * 64, "masks/x.png")]
    assert samples.load(tmp_path).entries == (entry,)


@pytest.mark.parametrize("key", ["file", "mask"])
@pytest.mark.parametrize(
    "path",
    ["../x.png", "a/../../x.png", "/etc/passwd", "..", ".", "a\\..\\x.png", "a\0b.png", "a\nb.png"],
)
def test_a_path_that_leaves_the_folder_is_refused(read: Any, key: str, path: str) -> None:
    with pytest.raises(ParityError, match="outside the data set's folder"):
        read({"images": [{"file": "x.png"} | {key: path}]})


def test_a_file_twice_is_refused_in_any_spelling(read: Any) -> None:
    with pytest.raises(ParityError, match=r"lists 'a/x\.png' twice"):
        read({"images": [{"file": "a/x.png"}, {"file": "b.png"}, {"file": "./a//x.png"}]})


@pytest.mark.parametrize(
    "image",
    [
        {},
        {"file": ""},
        {"file": None},
        {"file": 3},
        {"file": ["x.png"]},
        {"file": "x.png", "label": 1},
        {"file": "x.png", "sha256": 5},
        {"file": "x.png", "mask": True},
        {"file": "x.png", "label": "forged"},
        {"file": "x.png", "sha256": "abc"},
        {"file": "x.png", "sha256": "A" * 64},
    ],
)
def test_an_entry_that_cannot_be_used_is_refused(read: Any, image: object) -> None:
    with pytest.raises(ParityError) as caught:
        read({"images": [image]})
    assert '"images"' in caught.value.hint


@pytest.mark.parametrize(
    "document",
    [
        *("", "{", "[]", "null", "3", '{"images": {}}', '{"images": ["x.png"]}', '{"files": []}'),
        "[" * 100_000,
        '{"images": [], "schema_version": 2}',
    ],
    ids=range(10),
)
def test_what_is_no_manifest_is_refused(read: Any, document: str) -> None:
    with pytest.raises(ParityError, match=r"manifest|schema version 2"):
        read(document)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ParityError, match="not a readable manifest"):
        read_manifest(path)


def test_a_missing_manifest_and_a_folder_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ParityError, match="not a readable manifest"):
            read_manifest(path)


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trufor_onnx.parity.inputs.image_sets.LARGEST", 10)
    (tmp_path / "m.json").write_text('{"images": []}')
    with pytest.raises(ParityError, match="too large"):
        read_manifest(tmp_path / "m.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["images", "file"]), inner),
)


@given(document=st.fixed_dictionaries({"images": st.lists(JSON)}) | JSON)
def test_any_json_is_read_or_refused(
    document: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(document))
    try:
        entries = read_manifest(path)
    except ParityError as error:
        assert error.hint
    else:
        assert all(not Path(entry.file).is_absolute() for entry in entries)


def test_the_committed_sample_pictures_can_be_read_whole() -> None:
    folder = Path(__file__).resolve().parents[3] / "sample_dataset"
    entries = read_manifest(folder / "manifest.json")
    assert len(entries) >= 16
    assert {entry.label for entry in entries} == {"real", "fake"}
    assert all(sha256_file(folder / entry.file) == entry.sha256 for entry in entries)
    assert all((folder / entry.mask).is_file() for entry in entries if entry.label == "fake")
