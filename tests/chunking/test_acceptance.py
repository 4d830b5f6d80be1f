"""What is not cut, not written over and not removed unasked; each leaves all as it was."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.chunking.conftest import Buffer, retrained
from trufor_onnx.chunking import (
    ChunkingError,
    ContentError,
    HiddenManifestError,
    ReplacementError,
    SourceChangedError,
    Split,
    merge,
    prune,
    split,
    verify,
)
from trufor_onnx.chunking.cli import main
from trufor_onnx.chunking.folders import opened
from trufor_onnx.chunking.framing import missing_part
from trufor_onnx.files import sha256_file

Make = Callable[..., bytes]
Content = dict[str, bytes]
POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 2211345\n"
)
IMPOSTORS = {
    "git-lfs pointer": POINTER,
    "an old git-lfs pointer": b"version https://hawser.github.com/spec/v1\noid sha256:ab\nsize 9\n",
    "git-lfs pointer with CRLF": POINTER.replace(b"\n", b"\r\n"),
    "git-lfs pointer with a mark": b"\xef\xbb\xbf" + POINTER,
    "git-annex pointer": b"/annex/objects/SHA256E-s2211345--4d7a.onnx\n",
    "link of git-annex as text": b"../.git/annex/objects/Xz/9f/SHA256E-s22--4d.onnx",
    "DVC pointer": b"outs:\n- md5: a304afb96060aad90176268345e10355\n  size: 2211345\n",
    "web page": b"<!DOCTYPE html>\n<html><body>404</body></html>" + bytes(5000),
    "web page after a comment": b"\xef\xbb\xbf <!-- x -->\n<HTML><body>sign in</body>",
    "error of a store": b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>',
    "empty": b"",
}
NOT_WHOLE = {
    "JSON": b'{"message": "API rate limit exceeded"}',
    "text": b"404: Not Found",
    "zeros": bytes(60_000),
    "a torch checkpoint": b"PK\x03\x04" + bytes(range(256)) * 300,
}


def content(folder: Path) -> Content:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def made(model: Path) -> Split:
    """Good pieces beside the good model, of two releases' length apart by nothing."""
    return split(model, target=9000, maximum=20_000)


def write_lock(file: Path, **changes: object) -> Path:
    about = {"name": file.name, "size_bytes": file.stat().st_size, "sha256": sha256_file(file)}
    path = file.with_suffix(".lock.json")
    path.write_text(json.dumps({"lock_version": 1, "file": about | changes}))
    return path


def refused(model: Path, kind: type[ChunkingError], match: str, **options: bool) -> None:
    before = content(model.parent)
    with pytest.raises(kind, match=match) as caught:
        split(model, target=9000, maximum=20_000, **options)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert content(model.parent) == before


@pytest.mark.parametrize("kind", IMPOSTORS)
def test_what_stands_in_a_model_s_place_is_never_split(made: Split, kind: str):
    made.file.write_bytes(IMPOSTORS[kind])
    for force in (False, True):
        refused(made.file, ContentError, "instead of the content|empty", force=force)
    shutil.rmtree(made.folder)
    refused(made.file, ContentError, "instead of the content|empty")


@pytest.mark.parametrize("kind", NOT_WHOLE)
def test_what_is_no_model_is_not_split_and_named(made: Split, kind: str):
    made.file.write_bytes(NOT_WHOLE[kind])
    refused(made.file, ContentError, f"not a whole ONNX model.*{kind[-10:]}")


def test_packed_and_converted_models_are_named(made: Split):
    data = made.file.read_bytes()
    made.file.write_bytes(gzip.compress(data))
    refused(made.file, ContentError, "compressed with gzip")
    made.file.write_bytes(data.replace(b"\n", b"\r\n"))
    refused(made.file, ContentError, "converted from LF to CRLF")


def test_a_model_cut_anywhere_is_refused(made: Split):
    data = made.file.read_bytes()
    chance = random.Random("cut")
    for size in [1, 2, 3, len(data) - 1, *(chance.randrange(4, len(data)) for _ in range(60))]:
        made.file.write_bytes(data[:size])
        refused(made.file, ContentError, "not a whole ONNX model|web page|pointer")


def test_every_cut_of_a_small_model_without_pieces_beside_it(tmp_path: Path, make_model: Make):
    data = make_model({"w": bytes(20)})
    path = tmp_path / "net.onnx"
    for size in range(len(data)):
        path.write_bytes(data[:size])
        refused(path, ContentError, "not a whole ONNX model|empty")
    path.write_bytes(data)
    assert split(path).manifest.chunker.name == "tensors"


def test_two_models_run_together_and_models_without_parts(tmp_path: Path, make_model: Make):
    path = tmp_path / "net.onnx"
    data = make_model({"w": bytes(20)})

    def without(part: str) -> bytes:
        found = onnx.load_from_string(data)
        (found if part == "opset_import" else found.graph).ClearField(part)
        return found.SerializeToString()

    for wrong, match in (
        (data + data, "two models"),
        (without("node"), "no node"),
        (without("output"), "no output"),
        (without("opset_import"), "no operator set"),
        (data + b"\n", "cut off"),
        (data + bytes(3), "field number 0"),
    ):
        path.write_bytes(wrong)
        refused(path, ContentError, match)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(draw=st.data())
def test_a_flipped_byte_is_found_or_harmless_to_the_walk(draw: st.DataObject, make_model: Make):
    """No crash on any byte; a model whose lengths do not add up is not whole."""
    data = bytearray(make_model({"a": bytes(30), "b": bytes(5)}))
    position = draw.draw(st.integers(0, len(data) - 1))
    data[position] ^= draw.draw(st.integers(1, 255))
    try:
        missing_part(Buffer(bytes(data)))
    except ChunkingError as error:
        assert error.problem


def test_the_lock_beside_it_is_asked(made: Split):
    lock = write_lock(made.file)
    assert split(made.file, target=9000, maximum=20_000).written_pieces == 0
    size = made.file.stat().st_size
    made.file.write_bytes(retrained(made.file.read_bytes()))
    assert lock.exists() and made.file.stat().st_size == size
    refused(made.file, ReplacementError, "is not the file that .*lock.json describes")
    again = split(made.file, target=9000, maximum=20_000, force=True)
    assert again.leftovers and "describes another file" in again.needed


def test_the_lock_beside_the_pieces_is_asked(made: Split, tmp_path: Path):
    write_lock(made.file)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "net.onnx").write_bytes(retrained(made.file.read_bytes()))
    before = content(tmp_path)
    with pytest.raises(ReplacementError, match="lock"):
        split(elsewhere / "net.onnx", made.folder)
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"file": {}}', POINTER.decode(), "[" * 9999]
)
def test_a_lock_that_cannot_be_read_says_nothing(made: Split, text: str):
    made.file.with_suffix(".lock.json").write_text(text)
    refused(made.file, ContentError, "not a lock that can be read")
    split(made.file, force=True)


def test_a_lock_of_another_file_of_this_stem_is_not_asked(made: Split):
    write_lock(made.file)
    other = made.file.with_suffix(".bin")
    other.write_bytes(b"calibration")
    split(other, made.file.with_name("bin.chunks"))
    made.file.with_suffix(".lock.json").write_text("{}")  # some other tool's
    split(other, made.file.with_name("bin.chunks"))


def test_a_manifest_of_a_larger_file_is_not_replaced(made: Split, make_model: Make):
    made.file.write_bytes(make_model({"w": bytes(9000)}))
    refused(made.file, ReplacementError, "is of a larger file")
    assert split(made.file, force=True).manifest.file.size < 10_000


def test_a_retrained_file_replaces_the_manifest_as_before(made: Split):
    data = made.file.read_bytes()
    made.file.write_bytes(retrained(data, "a name"))
    split(made.file, target=9000)
    made.file.write_bytes(retrained(data))  # some bytes shorter
    again = split(made.file, target=9000)
    assert again.leftovers and not again.needed


def test_other_files_cut_short_or_converted_are_not_split_over_their_pieces(
    tmp_path: Path, make_bytes: Make
):
    path = tmp_path / "weights.bin"
    data = make_bytes(100_000)
    path.write_bytes(data)
    split(path, target=9000, maximum=20_000)
    for wrong, match in (
        (data[:99_999], "only the first part"),
        (data[:50_000], "is of a larger file"),
        (b"", "is of a larger file"),
        (bytes(100_000), "nothing but zeros"),
        (data.replace(b"\n", b"\r\n"), "converted"),
    ):
        path.write_bytes(wrong)
        refused(path, ReplacementError, match)
    path.write_bytes(POINTER)
    refused(path, ContentError, "git-lfs pointer")
    path.write_bytes(data[:99_000] + make_bytes(990))
    assert split(path).manifest.file.size == 99_990


def test_a_page_is_split_where_its_name_says_so(tmp_path: Path):
    (tmp_path / "report.html").write_bytes(IMPOSTORS["web page"])
    split(tmp_path / "report.html")


@pytest.mark.parametrize("text", [POINTER.decode(), '{"format": "chunked-file", "version": 2}'])
def test_a_manifest_that_only_cannot_be_read_here_is_kept(made: Split, text: str):
    (made.folder / "manifest.json").write_text(text)
    made.file.write_bytes(retrained(made.file.read_bytes()))
    refused(made.file, HiddenManifestError, "git-lfs pointer|newest known")
    split(made.file, force=True)


def test_a_manifest_with_converted_line_ends_is_kept(made: Split):
    manifest = made.folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"\n", b"\r\n"))
    refused(made.file, HiddenManifestError, "CRLF")


def test_another_split_that_ended_meanwhile_is_not_undone(made: Split):
    data = made.file.read_bytes()
    other = made.file.with_name("other") / "net.onnx"
    other.parent.mkdir()
    other.write_bytes(retrained(data, "other"))
    made.file.write_bytes(retrained(data))
    done: list[Split] = []

    def meanwhile(_count: int) -> None:
        if not done:
            done.append(split(other, made.folder))

    with pytest.raises(SourceChangedError, match="replaced by another split"):
        split(made.file, on_bytes=meanwhile)
    assert verify(made.folder).manifest == done[0].manifest


def test_one_bad_file_of_several(made: Split, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = made.file.read_bytes()
    for name in ("a.onnx", "z.onnx"):
        (tmp_path / name).write_bytes(data)
    made.file.write_bytes(POINTER)
    good = content(made.folder)
    assert main(["split", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("error:") == 1 and "prune" not in captured.out
    assert (tmp_path / "a.chunks").is_dir() and (tmp_path / "z.chunks").is_dir()
    assert content(made.folder) == good


def test_a_link_to_a_pointer_is_refused_too(made: Split, tmp_path: Path):
    made.file.unlink()
    (tmp_path / "blob").write_bytes(POINTER)
    made.file.symlink_to(tmp_path / "blob")
    refused(made.file, ContentError, "git-lfs pointer")


# Merging


def test_a_file_that_no_merge_wrote_is_kept(made: Split):
    made.file.write_bytes(retrained(made.file.read_bytes()))
    before = content(made.file.parent)
    for out in (None, made.file):
        with pytest.raises(ReplacementError, match="would be lost") as caught:
            merge(made.folder, out)
        assert caught.value.exit_code == 2 and "--force" in caught.value.hint
        assert content(made.file.parent) == before
    assert merge(made.folder, force=True).written


def test_what_a_merge_wrote_is_replaced_by_the_next_release(made: Split):
    """As after a `git pull` that brings other pieces."""
    made.file.unlink()
    merge(made.folder)
    for more in ("one", "another"):
        newer = made.file.with_name("newer") / "net.onnx"
        newer.parent.mkdir(exist_ok=True)
        newer.write_bytes(retrained(made.file.read_bytes(), more))
        split(newer, made.folder)
        assert merge(made.folder).written
        assert made.file.read_bytes() == newer.read_bytes()
    with made.file.open("ab") as stream:
        stream.write(b"\x72\x00")
    edited = made.file.read_bytes()
    with pytest.raises(ReplacementError):
        merge(made.folder)
    assert made.file.read_bytes() == edited


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"sha256": 1, "size": []}', "\xff", "[" * 4000])
def test_a_record_that_is_none_permits_nothing(made: Split, text: str):
    made.file.write_bytes(b"mine")
    made.file.with_name(".net.onnx.merged.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ReplacementError):
        merge(made.folder)
    assert made.file.read_bytes() == b"mine"


@pytest.mark.parametrize(
    "kind", [*(kind for kind in IMPOSTORS), "first part", "first byte", "zeros"]
)
def test_what_only_stands_in_the_file_s_place_is_replaced(made: Split, kind: str):
    data = made.file.read_bytes()
    more = {"first part": data[:-1], "first byte": data[:1], "zeros": bytes(len(data))}
    made.file.write_bytes((IMPOSTORS | more)[kind])
    assert merge(made.folder).written
    assert made.file.read_bytes() == data


def test_pieces_of_a_pointer_replace_nothing(made: Split, tmp_path: Path):
    """As an older version of this program split it."""
    real = made.file.read_bytes()
    wrong = tmp_path / "wrong" / "pointer"
    wrong.parent.mkdir()
    wrong.write_bytes(POINTER)
    name = wrong.with_name("net.dvc")
    wrong.rename(name)
    folder = split(name, force=True).folder
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"net.dvc", b"net.onnx"))
    for force in (False, True):
        with pytest.raises(ContentError if force else ReplacementError):
            merge(folder, made.file, force=force)
        assert made.file.read_bytes() == real
    made.file.unlink()
    with pytest.raises(ContentError, match="git-lfs pointer"):
        merge(folder, made.file)
    assert not made.file.exists()
    made.file.write_bytes(POINTER)
    with pytest.raises(ContentError, match="git-lfs pointer"):
        merge(folder, made.file)  # not "already there and right"


def test_pieces_that_the_lock_contradicts_are_not_merged(made: Split):
    made.file.unlink()
    merge(made.folder)
    data = made.file.read_bytes()
    made.file.write_bytes(retrained(data))
    write_lock(made.file)  # as an export writes both
    with pytest.raises(ReplacementError, match="lock"):
        merge(made.folder)
    made.file.unlink()
    with pytest.raises(ReplacementError, match="lock"):
        merge(made.folder)
    assert not made.file.exists()
    merge(made.folder, force=True)
    assert made.file.read_bytes() == data


def test_a_file_that_comes_while_it_is_merged_is_kept(made: Split):
    made.file.unlink()

    def meanwhile(_count: int) -> None:
        made.file.write_bytes(b"mine")

    with pytest.raises(ReplacementError):
        merge(made.folder, on_bytes=meanwhile)
    assert made.file.read_bytes() == b"mine"


# Pruning


def replaced(made: Split) -> Path:
    """Other pieces with the manifest of the old ones gone, the lock still theirs."""
    write_lock(made.file)
    made.file.write_bytes(retrained(made.file.read_bytes()))
    return split(made.file, target=9000, maximum=20_000, force=True).folder


def test_pieces_of_the_lock_s_file_are_not_pruned(made: Split, tmp_path: Path):
    shutil.copy(made.folder / "manifest.json", tmp_path / "old.json")
    folder = replaced(made)
    before = content(folder)
    for dry_run in (False, True):
        with pytest.raises(ReplacementError, match="may still be needed"):
            prune(folder, [folder], dry_run=dry_run)
    assert content(folder) == before
    hints = {fault.hint for fault in verify(folder).faults}
    assert all("keep such" in hint and "prune" not in hint for hint in hints)
    assert prune(folder, [folder, tmp_path / "old.json"]).removed == ()
    assert prune(folder, [folder], force=True).removed


def test_pieces_of_a_manifest_that_cannot_be_read_here_are_not_pruned(made: Split):
    made.file.write_bytes(retrained(made.file.read_bytes()))
    again = split(made.file, target=9000, maximum=20_000)
    assert again.leftovers and not again.needed
    (made.folder / "v1.json").write_bytes(POINTER)
    with pytest.raises(ReplacementError, match="git-lfs pointer"):
        prune(made.folder, [made.folder])
    (made.folder / "v1.json").write_bytes(b"{}")  # no manifest of any kind
    assert len(prune(made.folder, [made.folder]).removed) == again.leftovers


def test_missing_part_reads_the_project_s_own_form(model: Path):
    with opened(model) as source:
        assert missing_part(source) == ""
