from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trufor_onnx.chunking import ChunkingError, ManifestError, Split, prune, split, verify
from trufor_onnx.chunking.folders import folder_lock

Names = Callable[[Path], list[str]]


@pytest.fixture
def releases(model: Path, tmp_path: Path) -> tuple[Split, Split]:
    """Two releases in one folder; the older one's manifest is kept as old.json outside."""
    older = split(model, target=9000)
    shutil.copy(older.folder / "manifest.json", tmp_path / "old.json")
    data = bytearray(model.read_bytes())
    data[-3000:-2900] = bytes(100)
    model.write_bytes(data)
    return older, split(model, target=9000)


def test_pieces_of_no_kept_release_go(releases: tuple[Split, Split], names: Names):
    older, newer = releases
    gone = older.manifest.piece_names - newer.manifest.piece_names
    result = prune(newer.folder, [newer.folder / "manifest.json"])
    assert set(result.removed) == gone
    assert result.removed_bytes > 0
    assert set(names(newer.folder)) == newer.manifest.piece_names | {"manifest.json"}
    assert verify(newer.folder).faults == ()


def test_kept_releases_stay(releases: tuple[Split, Split], tmp_path: Path, names: Names):
    _, newer = releases
    before = names(newer.folder)
    result = prune(newer.folder, [tmp_path / "old.json"])
    assert result.removed == ()
    assert names(newer.folder) == before


def test_the_folder_s_own_release_stays_unnamed_too(
    releases: tuple[Split, Split], tmp_path: Path, model: Path
):
    model.write_bytes(b"a third release")
    third = split(model, force=True)
    prune(third.folder, [tmp_path / "old.json"])
    assert {fault.cause for fault in verify(third.folder).faults} == {
        "a piece that no manifest here lists"  # the older release's, named by hand
    }
    older = releases[0].manifest.piece_names
    assert all((third.folder / name).exists() for name in older)


def test_other_manifests_in_the_folder_protect_their_pieces(
    releases: tuple[Split, Split], tmp_path: Path
):
    _, newer = releases
    shutil.copy(tmp_path / "old.json", newer.folder / "v1.json")
    assert prune(newer.folder, [newer.folder]).removed == ()


def test_folder_of_pieces_only(releases: tuple[Split, Split], tmp_path: Path, names: Names):
    """As on a server, where the manifests lie elsewhere."""
    older, newer = releases
    (newer.folder / "manifest.json").unlink()
    prune(newer.folder, [tmp_path / "old.json"])
    assert set(names(newer.folder)) == older.manifest.piece_names


def test_dry_run_removes_nothing(releases: tuple[Split, Split], names: Names):
    _, newer = releases
    before = names(newer.folder)
    result = prune(newer.folder, [newer.folder], dry_run=True)
    assert result.removed
    assert result.dry_run
    assert names(newer.folder) == before
    assert prune(newer.folder, [newer.folder]).removed == result.removed


def test_only_our_own_files_are_removed(releases: tuple[Split, Split], tmp_path: Path):
    _, newer = releases
    (tmp_path / "precious").write_bytes(b"precious")
    stay = ["notes.txt", "x.part", ".x.part", "A" * 64 + ".chunk", "a" * 63 + ".chunk"]
    for name in stay:
        (newer.folder / name).write_bytes(b"")
    (newer.folder / ("b" * 64 + ".chunk")).mkdir()
    (newer.folder / ("c" * 64 + ".chunk")).symlink_to(tmp_path / "precious")
    os.mkfifo(newer.folder / ("d" * 64 + ".chunk"))
    (newer.folder / ("." + "e" * 32 + ".part")).write_bytes(b"")
    removed = set(prune(newer.folder, [newer.folder]).removed)
    assert {"c" * 64 + ".chunk", "d" * 64 + ".chunk", "." + "e" * 32 + ".part"} <= removed
    assert all((newer.folder / name).exists() for name in [*stay, "b" * 64 + ".chunk"])
    assert (tmp_path / "precious").read_bytes() == b"precious"


@pytest.mark.parametrize("bad", ["broken", "missing", "none"])
def test_nothing_is_removed_if_a_manifest_is_not_right(
    releases: tuple[Split, Split], tmp_path: Path, names: Names, bad: str
):
    _, newer = releases
    (tmp_path / "broken").write_bytes(b"{}")
    before = names(newer.folder)
    keep = [] if bad == "none" else [newer.folder, tmp_path / bad]
    with pytest.raises(ChunkingError):
        prune(newer.folder, keep)
    assert names(newer.folder) == before


def test_a_broken_manifest_in_the_folder_protects_nothing_so_it_is_refused(
    releases: tuple[Split, Split], tmp_path: Path, names: Names
):
    _, newer = releases
    (newer.folder / "manifest.json").write_bytes(b"{}")
    before = names(newer.folder)
    with pytest.raises(ManifestError):
        prune(newer.folder, [tmp_path / "old.json"])
    assert names(newer.folder) == before


def test_not_while_a_split_is_running(releases: tuple[Split, Split], names: Names):
    _, newer = releases
    before = names(newer.folder)
    with (
        folder_lock(newer.folder, exclusive=False),
        pytest.raises(ChunkingError, match="another process"),
    ):
        prune(newer.folder, [newer.folder])
    assert names(newer.folder) == before


def test_no_such_folder(tmp_path: Path, releases: tuple[Split, Split]):
    with pytest.raises(ChunkingError, match="No such file"):
        prune(tmp_path / "none", [releases[1].folder])
