"""What the pre-commit hook lets through, and what it stops."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.onnx_bytes import onnx_bytes
from trufor_onnx.chunking.merging import merge
from trufor_onnx.chunking.splitting import split
from trufor_onnx.export.lock import encode, file_entry, lock_path
from trufor_onnx.files import sha256_file
from trufor_onnx.parity.cli import main


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of a few bytes, with a lock that fits."""
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx_bytes(bytes(range(256)) * 400 + b"\r\n" * 50))
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
    split(model, force=True)
    model.unlink()
    for staged in (manifest, lock_path(model)):
        code, err = check(capsys, staged)
        assert code == 1 and "its lock is of" in err
    next(folder.glob("*.chunk")).write_bytes(b"")
    code, err = check(capsys, manifest)
    assert code == 1 and "net.chunks: " in err


def test_a_file_that_no_git_host_takes(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = check(capsys, "--max-size", "1000", model)
    assert code == 1 and "git hosts refuse more than 1,000: split it" in err


def test_nothing_to_check_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, tmp_path / "none.onnx")[0] == 2
    with pytest.raises(SystemExit) as caught:
        main(["files"])
    assert caught.value.code == 2


# As git has it


class Repository:
    """A repository with whole pieces, staged as they are."""

    def __init__(self, top: Path) -> None:
        self.top = top
        top.mkdir()
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "a@example.org")
        self.git("config", "user.name", "A")
        self.git("config", "commit.gpgsign", "false")

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.top, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def commit(self) -> None:
        self.git("commit", "-qm", "x", "--allow-empty")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    made = Repository(tmp_path / "a répo")
    monkeypatch.chdir(made.top)
    return made


@pytest.fixture
def pieces(repository: Repository, model: Path) -> Path:
    """`models of ä/net.chunks`, with its lock and its attributes, all staged; no .onnx."""
    folder = repository.top / "models of ä"
    folder.mkdir()
    for path in (model, lock_path(model)):
        path.rename(folder / path.name)
    made = split(folder / model.name, target=30_000, maximum=60_000)
    assert ".gitattributes says" in made.git
    (folder / model.name).unlink()
    repository.git("add", "-A")
    return made.folder


Capture = pytest.CaptureFixture[str]


def staged(capsys: Capture) -> tuple[int, str]:
    """What the hook says."""
    code = main(["files", "--staged"])
    return code, capsys.readouterr().err


def a_piece(folder: Path) -> Path:
    return max(folder.glob("*.chunk"), key=lambda path: path.stat().st_size)


def test_whole_pieces_pass_at_the_first_commit_and_later(
    repository: Repository, pieces: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert staged(capsys) == (0, "")
    monkeypatch.chdir(pieces)
    assert staged(capsys) == (0, "")
    repository.commit()
    assert staged(capsys) == (0, "")
    assert check(capsys, "manifest.json") == (0, "")


def test_a_manifest_without_its_pieces(
    repository: Repository, pieces: Path, capsys: Capture
) -> None:
    count = len(list(pieces.glob("*.chunk")))
    for path in pieces.glob("*.chunk"):
        repository.git("rm", "-q", "--cached", str(path))
    for code, err in (staged(capsys), check(capsys, pieces / "manifest.json")):
        assert code == 1 and err.count("not staged, the manifest lists it: git add it") == count
    repository.git("add", str(a_piece(pieces)))  # one of them
    code, err = staged(capsys)
    assert code == 1 and err.count("not staged") == count - 1


def test_a_piece_that_is_removed_though_nothing_else_changes(
    repository: Repository, pieces: Path, capsys: Capture
) -> None:
    repository.commit()
    repository.git("rm", "-q", str(a_piece(pieces)))
    code, err = staged(capsys)
    assert code == 1 and "not staged, the manifest lists it\n" in err
    repository.git("rm", "-q", "--cached", "--ignore-unmatch", str(pieces / "manifest.json"))
    code, err = staged(capsys)
    assert code == 1 and "pieces are staged, and no manifest.json" in err
    repository.git("rm", "-rq", "--cached", str(pieces))
    assert staged(capsys) == (0, "")  # the release is given up whole


def test_a_piece_that_is_renamed(repository: Repository, pieces: Path, capsys: Capture) -> None:
    repository.commit()
    repository.git("mv", str(a_piece(pieces)), str(pieces / ("a" * 64 + ".chunk")))
    code, err = staged(capsys)
    assert code == 1 and "not staged, the manifest" in err and "no part of what" in err


def test_a_good_work_tree_excuses_nothing(
    repository: Repository, pieces: Path, capsys: Capture
) -> None:
    path = a_piece(pieces)
    data = path.read_bytes()
    for wrong, why in (
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "git-lfs pointer"),
        (b"", "empty"),
        (data[:-1], "truncated"),
        (data[:-1] + b"x", ""),
        (b"<html>", "web page"),
    ):
        path.write_bytes(wrong)
        repository.git("add", str(path))
        path.write_bytes(data)
        code, err = staged(capsys)
        assert code == 1 and "what is staged is not the piece" in err and why in err
    repository.git("add", str(path))
    path.unlink()
    assert staged(capsys) == (0, "")  # nor does a bad one matter


def test_every_flipped_byte_of_a_staged_piece(
    repository: Repository, pieces: Path, capsys: Capture
) -> None:
    path = min(pieces.glob("*.chunk"), key=lambda path: path.stat().st_size)
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
        repository.git("add", str(path))
        assert staged(capsys)[0] == 1, position
    path.write_bytes(data)
    repository.git("add", str(path))
    assert staged(capsys) == (0, "")


@pytest.mark.parametrize("line", ["* text", "* text=auto", "*.chunk eol=crlf", "*.json ident"])
def test_line_ends_that_git_changes(
    repository: Repository, pieces: Path, capsys: Capture, line: str
) -> None:
    (pieces.parent / ".gitattributes").write_text(line + "\n")
    repository.git("config", "core.autocrlf", "true")
    repository.git("rm", "-rqf", "--cached", str(pieces))
    repository.git("add", "-A")
    code, err = staged(capsys)
    assert code == 1 and "git may change its bytes" in err and "-text -diff" in err
    if line == "* text":
        assert err.count("what is staged is not the piece: git changed it (text: set)") >= 1


def test_attributes_alone_are_judged_too(
    repository: Repository, pieces: Path, capsys: Capture
) -> None:
    repository.commit()
    (pieces.parent / ".gitattributes").write_text("* text\n")
    assert staged(capsys) == (0, "")  # not staged
    repository.git("add", str(pieces.parent / ".gitattributes"))
    code, err = staged(capsys)
    assert code == 1 and "git may change its bytes (text: set" in err
    repository.git("rm", "-q", "--cached", str(pieces.parent / ".gitattributes"))
    code, err = staged(capsys)
    assert code == 0 and "note: " in err and "a clone on Windows" in err
    repository.git("config", "core.autocrlf", "input")
    code, err = staged(capsys)
    assert code == 1 and "git may change its bytes (text: unspecified" in err


def test_pieces_in_git_lfs(repository: Repository, pieces: Path, capsys: Capture) -> None:
    (pieces.parent / ".gitattributes").write_text("*.chunk filter=lfs -text\n")
    repository.git(
        "config", "filter.lfs.clean", "printf 'version %s/spec/v1' https://git-lfs.github.com"
    )
    repository.git("rm", "-rqf", "--cached", str(pieces))
    repository.git("add", "-A")
    code, err = staged(capsys)
    assert code == 1 and "git changed it (filter: lfs)" in err


def test_a_link_or_a_submodule_in_place_of_a_file(
    repository: Repository, pieces: Path, capsys: Capture
) -> None:
    path = a_piece(pieces)
    path.rename(repository.top / "elsewhere")
    path.symlink_to(repository.top / "elsewhere")
    (repository.top / "net.onnx").symlink_to("nowhere")
    repository.git("add", "-A")
    code, err = staged(capsys)
    assert code == 1 and "a symbolic link is staged in place of the piece" in err
    assert "net.onnx: a symbolic link is staged in place of the file" in err


def test_large_files_of_any_ending(repository: Repository, capsys: Capture) -> None:
    for name in ("weights.bin", "net.data", "no ending", "ä.pth"):
        (repository.top / name).write_bytes(bytes(2000))
    repository.git("add", "-A")
    for words in (["--staged"], ["weights.bin"]):
        assert main(["files", "--max-size", "1000", *words]) == 1
        err = capsys.readouterr().err
        assert err.count("2,000 bytes, git hosts refuse more than 1,000") == 4
    (repository.top / "weights.bin").write_bytes(b"")  # what is staged counts
    assert main(["files", "--max-size", "1000", "--staged"]) == 1
    assert staged(capsys)[0] == 0


def test_models_and_locks_are_read_as_staged(
    repository: Repository, pieces: Path, model: Path, capsys: Capture
) -> None:
    path = pieces.parent / model.name
    lock = lock_path(path)
    path.write_bytes(b"another")
    repository.git("add", "-A")
    merge(pieces, path, force=True)
    code, err = staged(capsys)
    assert code == 1 and "net.onnx: not the file that its lock describes" in err
    repository.git("add", "-A")
    assert staged(capsys) == (0, "")
    repository.commit()
    text = lock.read_text()
    repository.git("rm", "-q", "--cached", str(lock))
    code, err = staged(capsys)
    assert code == 1 and "nobody proved whose weights these are" in err
    lock.write_text(text.replace(sha256_file(path), "0" * 64))
    repository.git("add", "-A")
    lock.write_text(text)
    code, err = staged(capsys)
    assert code == 1 and "not the file that its lock describes" in err and "its lock is of" in err
    lock.write_text("{")
    repository.git("add", "-A")
    assert "not a lock file" in staged(capsys)[1]


def test_tensors_beside_a_model_are_read_as_staged(
    repository: Repository, model: Path, capsys: Capture
) -> None:
    path, data = repository.top / model.name, repository.top / "net.onnx.data"
    path.write_bytes(model.read_bytes())
    data.write_bytes(b"tensors")
    lock = json.loads(lock_path(model).read_text("utf-8"))
    digest = hashlib.sha256(b"tensors").hexdigest()
    lock["file"]["external"] = [{"name": data.name, "size_bytes": 7, "sha256": digest}]
    lock_path(path).write_bytes(encode(lock))
    repository.git("add", path.name, lock_path(path).name)
    code, err = staged(capsys)
    assert code == 1 and "net.onnx.data: not staged, net.onnx keeps tensors in it" in err
    repository.git("add", "-A")
    assert staged(capsys) == (0, "")
    repository.commit()
    data.write_bytes(b"Tensors")
    repository.git("add", "-A")
    data.write_bytes(b"tensors")
    code, err = staged(capsys)
    assert code == 1 and "net.onnx.data: not the file that the lock of net.onnx describes" in err
    repository.git("rm", "-qf", "--cached", data.name)
    assert staged(capsys)[0] == 1
    repository.git("add", "-A")
    repository.git("rm", "-q", "--cached", path.name)
    code, err = staged(capsys)
    assert code == 1 and "net.onnx.data: holds tensors of net.onnx, which is not staged" in err
    lock["file"]["external"][0]["name"] = "../net.onnx.data"
    lock_path(path).write_bytes(encode(lock))
    repository.git("add", "-A")
    assert "which is no file beside it" in staged(capsys)[1]


def test_a_model_in_git_lfs(
    repository: Repository, pieces: Path, model: Path, capsys: Capture
) -> None:
    path = pieces.parent / model.name
    merge(pieces, path)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 1\n"
    path.write_text(pointer.format(sha256_file(path)))
    repository.git("add", str(path))
    assert "not the file that its lock describes" in staged(capsys)[1]  # plain text to git
    with (pieces.parent / ".gitattributes").open("a") as stream:
        stream.write("*.onnx filter=lfs -text\n")
    repository.git("add", str(pieces.parent / ".gitattributes"))
    assert staged(capsys) == (0, "")


def test_manifests_that_are_none(repository: Repository, pieces: Path, capsys: Capture) -> None:
    path = pieces / "manifest.json"
    data = path.read_bytes()
    for wrong, why in (
        (data.replace(b"\n", b"\r\n"), "CRLF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (b"{", "no JSON"),
        (b"", "no JSON"),
    ):
        path.write_bytes(wrong)
        repository.git("add", str(path))
        path.write_bytes(data)
        code, err = staged(capsys)
        assert code == 1 and why in err


def test_what_git_does_not_know_is_judged_on_the_disk(
    repository: Repository, pieces: Path, model: Path, capsys: Capture
) -> None:
    repository.commit()
    path = pieces.parent / model.name
    path.write_bytes(b"another")
    assert staged(capsys) == (0, "")
    code, err = check(capsys, path)
    assert code == 1 and "not the file that its lock describes" in err


def test_no_repository_is_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    code, err = staged(capsys)
    assert code == 2 and "not in a git work tree" in err
    (tmp_path / ".git").write_text("nothing")
    code, err = staged(capsys)
    assert code == 2 and "git does not say what is staged" in err


@pytest.mark.slow
def test_a_second_work_tree_and_a_real_hook(
    repository: Repository, pieces: Path, tmp_path: Path
) -> None:
    """With git's own variables set, as in a hook."""
    repository.commit()
    repository.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "second"))
    hook = repository.top / ".git" / "hooks" / "pre-commit"
    root = Path(__file__).parents[3]
    hook.write_text(
        f"#!/bin/sh\nPYTHONPATH='{root}' exec '{sys.executable}' -m parity files --staged\n"
    )
    hook.chmod(0o755)
    second = tmp_path / "second" / pieces.relative_to(repository.top)
    for top, folder in ((repository.top, pieces), (tmp_path / "second", second)):
        path = a_piece(folder)
        for words, code in (
            (["rm", "-q", str(path)], 0),
            (["commit", "-qm", "x"], 1),
            (["checkout", "-q", "HEAD", "--", str(path)], 0),
            (["commit", "-q", "--allow-empty", "-m", "x"], 0),
        ):
            done = subprocess.run(["git", *words], cwd=top, capture_output=True, text=True)
            assert done.returncode == code, (words, done.stderr)
        path.unlink()
        done = subprocess.run(  # git makes an index of its own for this
            ["git", "commit", "-qm", "x", "--", str(path)], cwd=top, capture_output=True, text=True
        )
        assert done.returncode == 1 and "the manifest lists it" in done.stderr
