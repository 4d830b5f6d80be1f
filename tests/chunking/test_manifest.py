"""What a manifest may say; it comes back as it was written, or not at all."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.chunking.manifest import (
    MAX_MANIFEST_BYTES,
    MAX_PIECES,
    Chunker,
    Manifest,
    Piece,
    WholeFile,
    check_name,
    decode,
    encode,
    load,
    release_id,
    shown,
)
from trufor_onnx.errors import ManifestError, StorageError, UnsafeFileError

A, B, C = "a" * 64, "b" * 64, "c" * 64
RIGHT = Manifest(
    WholeFile("net.onnx", 12, C),
    Chunker("tensors", 1, 8, 16),
    (Piece(0, 5, A), Piece(5, 7, B)),
)
TREE: dict[str, Any] = json.loads(encode(RIGHT))


def manifest(*pieces: Piece, size: int | None = None, maximum: int = 10) -> Manifest:
    total = sum(piece.size for piece in pieces) if size is None else size
    return Manifest(WholeFile("f", total, C), Chunker("fixed", 1, 5, maximum), pieces)


def test_right_manifest():
    made = manifest(Piece(0, 5, A), Piece(5, 3, B), Piece(8, 5, A))
    assert made.piece_names == {f"{A}.chunk", f"{B}.chunk"}
    assert made.chunks[1].end == 8


def test_empty_file_has_no_pieces():
    assert manifest().chunks == ()


@pytest.mark.parametrize(
    ("pieces", "fault"),
    [
        ([Piece(1, 5, A)], "hole"),
        ([Piece(0, 5, A), Piece(6, 5, B)], "hole"),
        ([Piece(0, 5, A), Piece(4, 5, B)], "overlap"),
        ([Piece(0, 5, A), Piece(0, 5, A)], "overlap"),
        ([Piece(5, 5, A), Piece(0, 5, B)], "hole"),
        ([Piece(0, 11, A)], "at most 10"),
        ([Piece(0, 5, A), Piece(5, 4, A)], "another size"),
    ],
)
def test_pieces_that_do_not_fit(pieces: list[Piece], fault: str):
    with pytest.raises(ManifestError, match=fault):
        manifest(*pieces)


@pytest.mark.parametrize("size", [0, 4, 6])
def test_pieces_must_fill_the_file(size: int):
    with pytest.raises(ManifestError, match="the pieces end at 5"):
        manifest(Piece(0, 5, A), size=size)


def test_too_many_pieces():
    pieces = [Piece(index, 1, A) for index in range(MAX_PIECES + 1)]
    with pytest.raises(ManifestError, match="at most"):
        manifest(*pieces)
    assert len(manifest(*pieces[:-1]).chunks) == MAX_PIECES


@pytest.mark.parametrize(
    ("offset", "size", "digest"),
    [
        (-1, 1, A),
        (0, 0, A),
        (0, -1, A),
        (0, 1 << 63, A),
        (1 << 63, 1, A),
        (0, 1, "A" * 64),
        (0, 1, "a" * 63),
        (0, 1, "a" * 65),
        (0, 1, A[:-1] + "\n"),
        (0, 1, "../" + "a" * 61),
        (0, 1, "g" * 64),
        (0, 1, "\u0661" * 64),
    ],
)
def test_wrong_pieces(offset: int, size: int, digest: str):
    with pytest.raises(ManifestError):
        Piece(offset, size, digest)


@pytest.mark.parametrize(
    ("name", "version", "target", "maximum"),
    [
        ("", 1, 1, 1),
        ("Fixed", 1, 1, 1),
        ("fixed\n", 1, 1, 1),
        ("a" * 33, 1, 1, 1),
        ("fixed", 0, 1, 1),
        ("fixed", 1, 0, 1),
        ("fixed", 1, 2, 1),
        ("fixed", 1, 1, 1 << 63),
    ],
)
def test_wrong_chunkers(name: str, version: int, target: int, maximum: int):
    with pytest.raises(ManifestError):
        Chunker(name, version, target, maximum)


@pytest.mark.parametrize("name", ["net.onnx", "Netz für Köln.onnx", "模型.onnx", "-x", "a" * 255])
def test_plain_names(name: str):
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "a\0b",
        "a\nb",
        "a\x1b[31mb",
        "a\x9bb",
        "a\u202eb",
        "a\u2028b",
        "a\udc80b",
        "ü" * 128,
        "a" * 256,
    ],
)
def test_names_that_are_no_plain_names(name: str):
    with pytest.raises(ManifestError):
        check_name(name)


@given(st.text())
def test_what_is_shown_is_short_and_printable(text: str):
    assert shown(text).isascii()
    assert shown(text).isprintable()
    assert len(shown(text)) <= 10 * 80 + 2


def canonical(tree: object) -> bytes:
    return (json.dumps(tree, sort_keys=True, indent=1) + "\n").encode()


def changed(path: str, value: object) -> bytes:
    """The right manifest with one value replaced; ``path`` as in "chunks.0.size"."""
    tree = json.loads(encode(RIGHT))
    *parents, last = path.split(".")
    node = tree
    for key in parents:
        node = node[int(key)] if key.isdigit() else node[key]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return canonical(tree)


def test_encoding_is_fixed():
    """A change of these bytes changes every release id: it needs another format version."""
    assert release_id(RIGHT) == hashlib.sha256(encode(RIGHT)).hexdigest()
    assert encode(RIGHT).decode() == (
        '{\n "chunker": {\n  "max": 16,\n  "name": "tensors",\n'
        '  "target": 8,\n  "version": 1\n },\n'
        f' "chunks": [\n  {{\n   "offset": 0,\n   "sha256": "{A}",\n   "size": 5\n  }},\n'
        f'  {{\n   "offset": 5,\n   "sha256": "{B}",\n   "size": 7\n  }}\n ],\n'
        f' "file": {{\n  "name": "net.onnx",\n  "sha256": "{C}",\n  "size": 12\n }},\n'
        ' "format": "chunked-file",\n "version": 1\n}\n'
    )


def test_round_trip():
    assert decode(encode(RIGHT)) == RIGHT


def test_encoding_does_not_depend_on_the_process():
    code = """if True:
        from trufor_onnx.chunking import Chunker, Manifest, Piece, WholeFile, release_id
        print(release_id(Manifest(WholeFile("net.onnx", 12, "c" * 64),
              Chunker("tensors", 1, 8, 16), (Piece(0, 5, "a" * 64), Piece(5, 7, "b" * 64)))))
    """
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C"}
        printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
        assert printed.strip() == release_id(RIGHT)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    digest = st.integers(0, (1 << 256) - 1).map(lambda number: f"{number:064x}")
    sizes = draw(st.lists(st.integers(1, 1 << 40), max_size=8))
    pieces, position = [], 0
    for size in sizes:
        number = draw(st.integers(0, 1 << 128)) << 64 | size  # one size a digest
        pieces.append(Piece(position, size, f"{number:064x}"))
        position += size
    name = st.text(
        st.characters(min_codepoint=32, max_codepoint=0x2000, exclude_characters="/\\\x7f"),
        min_size=1,
        max_size=60,
    ).filter(lambda text: text not in (".", "..") and not any("\x80" <= c <= "\x9f" for c in text))
    target = draw(st.integers(1, 1 << 40))
    return Manifest(
        WholeFile(draw(name), position, draw(digest)),
        Chunker("fixed", draw(st.integers(1, 9)), target, target + max(sizes, default=0)),
        tuple(pieces),
    )


@given(manifests())
def test_any_manifest_round_trips_in_one_encoding(made: Manifest):
    data = encode(made)
    assert decode(data) == made
    assert data == canonical(json.loads(data))


def test_largest_manifest_is_below_the_limit():
    biggest = 1 << 40
    pieces = tuple(Piece(index * biggest, biggest, f"{index:064x}") for index in range(MAX_PIECES))
    made = Manifest(
        WholeFile("\U0001f600" * 63, MAX_PIECES * biggest, C),
        Chunker("fixed", 1, biggest, biggest),
        pieces,
    )
    assert len(encode(made)) < MAX_MANIFEST_BYTES
    assert decode(encode(made)) == made


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("format", "zip", "format"),
        ("format", ..., "lacks 'format'"),
        ("version", 2, "version 2"),
        ("version", True, "type bool"),
        ("version", "1", "type str"),
        ("version", 1.0, "no integer"),
        ("extra", 1, "unknown key 'extra'"),
        ("chunks", {}, "type dict"),
        ("chunks", None, "type NoneType"),
        ("chunks", [1], "no object"),
        ("chunks", ..., "lacks 'chunks'"),
        ("chunks", [], "end at 0"),
        ("file", [], "type list"),
        ("file.name", "../../etc/passwd", "no plain file name"),
        ("file.name", "/etc/passwd", "no plain file name"),
        ("file.name", "\ud800", "no plain file name"),
        ("file.path", "x", "unknown key 'path'"),
        ("file.size", 13, "end at 12"),
        ("file.size", -12, "is -12"),
        ("file.size", 10**18, "end at 12"),
        ("file.size", 10**19, "out of range"),
        ("file.size", 10**4000, "out of range"),
        ("file.sha256", "x", "hexadecimal"),
        ("file.sha256", None, "type NoneType"),
        ("chunker.max", 4, "is 4"),
        ("chunker.name", "../x", "lower-case"),
        ("chunks.0.offset", 1, "hole"),
        ("chunks.1.offset", 4, "overlap"),
        ("chunks.0.size", 0, "is 0"),
        ("chunks.0.size", False, "type bool"),
        ("chunks.0.sha256", "../../" + "a" * 58, "hexadecimal"),
        ("chunks.0.url", "http://x", "unknown key 'url'"),
        ("chunks", TREE["chunks"][::-1], "hole"),
        ("chunks", TREE["chunks"][:1] * 2, "overlap"),
    ],
)
def test_wrong_values(path: str, value: object, fault: str):
    with pytest.raises(ManifestError, match=fault) as caught:
        decode(changed(path, value))
    assert caught.value.hint
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "no JSON"),
        (b"null", "no object"),
        (b"[]", "no object"),
        (b"\xff\xfe{}", "no JSON"),
        (b"\xef\xbb\xbf" + encode(RIGHT), "no JSON"),
        (encode(RIGHT)[:-2], "no JSON"),
        (encode(RIGHT) + b"{}", "no JSON"),
        (encode(RIGHT) + b"\0", "no JSON"),
        (encode(RIGHT)[:-1], "another encoding"),
        (encode(RIGHT) + b"\n", "another encoding"),
        (b" " + encode(RIGHT), "another encoding"),
        (json.dumps(TREE).encode(), "another encoding"),
        (encode(RIGHT).replace(b"net", b"\\u006eet"), "another encoding"),
        (encode(RIGHT).replace(b" 12", b" -0"), "end at 12"),
        (encode(RIGHT).replace(b"12", b"1.2e1"), "no integer"),
        (encode(RIGHT).replace(b"12", b"NaN"), "no integer"),
        (encode(RIGHT).replace(b"12", b"Infinity"), "no integer"),
        (encode(RIGHT).replace(b"12", b"012"), "no JSON"),
        (encode(RIGHT).replace(b'{\n "ch', b'{\n "version": 1,\n "ch', 1), "twice"),
        (encode(RIGHT).replace(b'"offset": 0', b'"offset": 0, "offset": 0'), "twice"),
        (encode(RIGHT).replace(b"\n", b"\r\n"), "CRLF"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b"9" * 1_000_000, "out of range"),
        (b"-" + b"9" * 19, "out of range"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n", "git-lfs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "data",
)
def test_wrong_bytes(data: bytes, fault: str):
    with pytest.raises(ManifestError, match=fault) as caught:
        decode(data)
    assert len(str(caught.value)) < 500


def test_a_key_repeated_many_times_is_found_quickly():
    data = b"{" + b",".join(b'"%d":1' % index for index in range(90_000)) + b',"89999":1}'
    assert len(data) <= MAX_MANIFEST_BYTES
    with pytest.raises(ManifestError, match="'89999' stands twice"):
        decode(data)


def test_100_mb_of_text_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "manifest.json"
    with path.open("wb") as stream:
        stream.truncate(100 << 20)
    seen: list[int] = []

    def spy(data: bytes) -> Manifest:
        seen.append(len(data))
        return decode(data)

    monkeypatch.setattr("trufor_onnx.chunking.manifest.decode", spy)
    with pytest.raises(ManifestError, match="larger than"):
        load(path)
    assert seen == [MAX_MANIFEST_BYTES + 1]


def test_load_names_the_file(tmp_path: Path):
    path = tmp_path / "manifest.json"
    path.write_bytes(encode(RIGHT))
    assert load(path) == RIGHT
    path.write_bytes(b"{}")
    with pytest.raises(ManifestError, match=str(path)):
        load(path)
    with pytest.raises(StorageError, match="No such file"):
        load(tmp_path / "none.json")


def test_link_to_a_manifest_is_refused(tmp_path: Path, open_files: Callable[[], int]):
    (tmp_path / "real.json").write_bytes(encode(RIGHT))
    (tmp_path / "manifest.json").symlink_to("real.json")
    before = open_files()
    with pytest.raises(UnsafeFileError, match="symbolic link"):
        load(tmp_path / "manifest.json")
    assert open_files() == before
