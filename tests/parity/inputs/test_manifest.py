"""A manifest names files inside its folder, each once; anything else is an error with a hint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.errors import ParityError
from trufor_onnx.files import sha256_file
from trufor_onnx.parity.inputs.image_sets import ListedImage, read_manifest


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
