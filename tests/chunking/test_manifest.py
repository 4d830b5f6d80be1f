import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.chunking.manifest import (
    MAX_PIECES,
    Chunker,
    Manifest,
    Piece,
    WholeFile,
    check_name,
    shown,
)
from trufor_onnx.errors import ManifestError

A, B, C = "a" * 64, "b" * 64, "c" * 64


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
