"""The subset is recreated from zips and folders of any layout, and from nothing else."""

from __future__ import annotations

import re
import zipfile

import pytest

from sample_dataset.maker.cli import main
from sample_dataset.maker.cocoglide import LISTING, load_listing, recreate
from sample_dataset.maker.manifest import DatasetError
from tests.beside import DATA
from trufor_onnx.export.weights.archive import ArchiveError
from trufor_onnx.files import sha256_bytes, sha256_file

FILES = {
    "fake/glide_1_up.png": b"fake one",
    "fake/glide_2_up.png": b"fake two",
    "real/fire hydrant_1.png": b"real one",
}
WANTED = {name: sha256_bytes(data) for name, data in FILES.items()}
REAL = DATA / "data/cocoglide50"


def make_zip(path, entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def make_folder(path, entries):
    for name, data in entries.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }


def test_committed_list_has_50_images_of_two_kinds():
    listing = load_listing()
    assert len(listing) == 50
    assert sum(name.startswith("fake/") for name in listing) == 25
    assert sum(name.startswith("real/") for name in listing) == 25
    assert all(re.fullmatch(r"[0-9a-f]{64}", sha256) for sha256 in listing.values())
    assert len(set(listing.values())) == 50


@pytest.mark.parametrize("prefix", ["", "CocoGlide/", "data set/x/CocoGlide/"])
@pytest.mark.parametrize("make", [make_zip, make_folder])
def test_folders_may_lie_at_any_depth_among_other_files(tmp_path, prefix, make):
    entries = {prefix + name: data for name, data in FILES.items()}
    entries |= {
        f"{prefix}mask/glide_1_up.png": b"mask",
        f"{prefix}fake/other.png": b"x",
        "a.txt": b"",
    }
    source = make(tmp_path / "source", entries)
    done = recreate(source, tmp_path / "out", WANTED)
    assert content(tmp_path / "out") == FILES
    assert (done.written, done.already_there) == (3, 0)
    sums = (tmp_path / "out/SHA256SUMS").read_text().splitlines()
    assert sums == [f"{WANTED[name]}  {name}" for name in sorted(WANTED)]


def test_of_two_files_of_one_name_the_right_one_is_taken(tmp_path):
    entries = {f"a/{name}": b"thumbnail" for name in FILES} | {
        f"b/{n}": d for n, d in FILES.items()
    }
    recreate(make_zip(tmp_path / "x.zip", entries), tmp_path / "out", WANTED)
    assert content(tmp_path / "out") == FILES


@pytest.mark.parametrize("make", [make_zip, make_folder])
def test_missing_and_wrong_ones_are_all_listed_and_nothing_is_written(tmp_path, make):
    source = make(
        tmp_path / "s", {"real/fire hydrant_1.png": b"real one", "fake/glide_2_up.png": b"?"}
    )
    with pytest.raises(DatasetError, match="2 of 3 images") as caught:
        recreate(source, tmp_path / "out", WANTED)
    assert "fake/glide_1_up.png: missing" in caught.value.problem
    assert "fake/glide_2_up.png: wrong content" in caught.value.problem
    assert "fire hydrant" not in caught.value.problem
    assert not (tmp_path / "out").exists()


def test_second_run_writes_only_what_is_not_right(tmp_path):
    source = make_folder(tmp_path / "s", FILES)
    recreate(source, tmp_path / "out", WANTED)
    (tmp_path / "out/fake/glide_1_up.png").write_bytes(b"damaged")
    done = recreate(source, tmp_path / "out", WANTED)
    assert (done.written, done.already_there) == (1, 2)
    assert content(tmp_path / "out") == FILES


def test_zip_that_points_outside_is_refused(tmp_path):
    entries = {"../real/fire hydrant_1.png": b"real one"} | FILES
    with pytest.raises(ArchiveError, match="points outside its folder"):
        recreate(make_zip(tmp_path / "x.zip", entries), tmp_path / "out", WANTED)
    assert not (tmp_path / "out").exists()


def test_source_that_is_not_there(tmp_path):
    with pytest.raises(ArchiveError, match="No such file"):
        recreate(tmp_path / "x.zip", tmp_path / "out", WANTED)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"files": []}',
        '{"files": [{"path": "../x/y", "sha256": "0"}]}',
        '{"files": 1}',
        '{"files": [{"path": "/y", "sha256": "0"}]}',
        '{"files": [{"path": "../y", "sha256": "0"}]}',
    ],
)
def test_damaged_list_is_said(tmp_path, text):
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"list\.json: "):
        load_listing(path)


def test_command_says_terms_and_fails_with_2(tmp_path, capsys):
    assert (
        main(
            ["--cocoglide", str(make_zip(tmp_path / "x.zip", FILES)), "--out", str(tmp_path / "o")]
        )
        == 2
    )
    printed = capsys.readouterr()
    assert "nonprofit" in printed.out
    assert "50 of 50 images are missing or wrong" in printed.err
    assert "hint:" in printed.err


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the 50 images in {REAL}")
@pytest.mark.parametrize("make", [make_zip, make_folder])
def test_the_real_50_images(tmp_path, capsys, make):
    entries = {
        f"CocoGlide/{kind}/{path.name}": path.read_bytes()
        for kind in ("fake", "real")
        for path in (REAL / kind).iterdir()
    }
    source = make(tmp_path / "CocoGlide.zip", entries | {"CocoGlide/mask/x.png": b"mask"})
    assert main(["--cocoglide", str(source), "--out", str(tmp_path / "out")]) == 0
    assert "50 images written" in capsys.readouterr().out
    made = {n: sha256_file(tmp_path / "out" / n) for n in content(tmp_path / "out")}
    assert made == load_listing(LISTING)
    lines = sorted((REAL / "SHA256SUMS").read_text().splitlines())
    assert sorted((tmp_path / "out/SHA256SUMS").read_text().splitlines()) == lines
