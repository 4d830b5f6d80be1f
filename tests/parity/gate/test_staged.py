"""What the pre-commit hook lets through, and what it stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from chunking.splitting import split
from export.lock import encode, file_entry, lock_path
from parity.cli import main


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file that is no ONNX, with a lock that fits: the hook reads bytes only."""
    path = tmp_path / "net.onnx"
    path.write_bytes(bytes(range(256)) * 400)
    lock = {
        "lock_version": 1,
        "model": "net",
        "network_version": "1",
        "variant": "portable",
        "opset": 17,
        "toolchain": {},
        "file": file_entry(path),
        "initializers": [],
        "weights": {"label": "x", "kind": "checkpoint", "digest": "d", "seed": ""},
    }
    lock_path(path).write_bytes(encode(lock | {"initializers": [ENTRY]}))
    return path


ENTRY = {"name": "w", "sha256": "a" * 64, "transform": "checkpoint", "sources": ["w"]}


def check(capsys: pytest.CaptureFixture[str], *files: Path | str) -> tuple[int, str]:
    code = main(["files", *map(str, files)])
    return code, capsys.readouterr().err


def test_what_fits_passes(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = split(model).folder
    other = model.with_name("notes.txt")
    other.write_text("x")
    staged = [model, lock_path(model), *folder.iterdir(), other]
    assert check(capsys, *staged) == (0, "")
    model.unlink()
    assert check(capsys, *staged[1:]) == (0, "")


def test_a_file_without_its_lock(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock_path(model).unlink()
    code, err = check(capsys, model)
    assert code == 1 and "nobody proved whose weights these are" in err


def test_a_file_that_is_not_its_lock_s(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model.write_bytes(b"x")
    for staged in (model, lock_path(model)):
        code, err = check(capsys, staged)
        assert code == 1 and "not the file that its lock describes" in err


def test_a_lock_that_is_none(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock_path(model).write_text("{}")
    for staged in (model, lock_path(model)):
        code, err = check(capsys, staged)
        assert code == 1 and "not a lock file" in err


def test_pieces_that_are_damaged_or_of_another_file(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = split(model).folder
    manifest = folder / "manifest.json"
    model.write_bytes(b"another file")
    split(model)
    model.unlink()
    for staged in (manifest, lock_path(model)):
        code, err = check(capsys, staged)
        assert code == 1 and "its lock is of" in err
    next(folder.glob("*.chunk")).write_bytes(b"")
    code, err = check(capsys, manifest)
    assert code == 1 and "net.chunks: " in err


def test_a_file_that_no_git_host_takes(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = check(capsys, "--most-bytes", "1000", model)
    assert code == 1 and "git hosts refuse more than 1,000: split it" in err


def test_nothing_to_check_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, tmp_path / "none.onnx")[0] == 2
    with pytest.raises(SystemExit) as caught:
        main(["files"])
    assert caught.value.code == 2
