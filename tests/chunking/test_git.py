"""What `split` says to git, so that the bytes of pieces reach a clone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from trufor_onnx.chunking import split, verify
from trufor_onnx.chunking.git import KEEP_BYTES, GitError, git, rewritten

LINE = f"*.chunks/** {KEEP_BYTES}\n"


@pytest.fixture
def tree(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the model in a folder with a blank in its name."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_AUTHOR_NAME", "a")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "a@example.org")
    monkeypatch.setenv("GIT_COMMITTER_NAME", "a")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "a@example.org")
    folder = tmp_path / "a répo"
    folder.mkdir()
    git(["init", "-q"], cwd=folder)
    model.rename(folder / "net.onnx")
    return folder


def clone(tree: Path, *settings: str) -> Path:
    """Commit the pieces and check them out elsewhere, with settings."""
    git(["add", "-A", "--", ".", ":!*.onnx"], cwd=tree)
    git(["commit", "-qm", "x"], cwd=tree)
    there = tree.parent / f"clone {len(settings)}"
    git([*settings, "clone", "-q", str(tree), str(there)])
    return there


def test_pieces_survive_a_clone_with_converted_line_ends(tree: Path):
    (tree / ".gitattributes").write_bytes(b"* text=auto")
    git(["config", "core.autocrlf", "true"], cwd=tree)
    made = split(tree / "net.onnx", target=9000)
    assert (
        made.git
        == f"{tree / '.gitattributes'} says `{LINE.strip()}` now: commit it with the pieces"
    )
    assert (tree / ".gitattributes").read_text() == "* text=auto\n" + LINE
    there = clone(tree, "-c", "core.autocrlf=true", "-c", "core.eol=crlf")
    assert verify(there / "net.chunks", full=True).faults == ()


def test_a_second_split_changes_nothing(tree: Path):
    split(tree / "net.onnx")
    before = (tree / ".gitattributes").stat().st_mtime_ns
    assert split(tree / "net.onnx").git == ""
    assert (tree / ".gitattributes").stat().st_mtime_ns == before
    assert (tree / ".gitattributes").read_text() == LINE


@pytest.mark.parametrize("name", ["pieces", "my pieces", 'a "b" [c]*', "#pieces", "!x", "ä\\b"])
def test_folders_of_any_name(tree: Path, name: str):
    made = split(tree / "net.onnx", tree / name)
    assert "now: commit it" in made.git
    assert not rewritten([b"manifest.json"], cwd=tree / name)
    assert rewritten([b"other.json"], cwd=tree)


@pytest.mark.parametrize(
    "line", ["*.chunk filter=lfs", "*.json ident", "*.chunk eol=crlf", "* text"]
)
def test_what_rewrites_bytes_is_turned_off(tree: Path, line: str):
    (tree / ".gitattributes").write_text(line + "\n")
    assert "now: commit it" in split(tree / "net.onnx").git
    assert (tree / ".gitattributes").read_text() == f"{line}\n{LINE}"


def test_bytes_that_git_keeps_already(tree: Path):
    (tree / ".gitattributes").write_text("* binary\n")
    assert split(tree / "net.onnx").git == ""
    assert (tree / ".gitattributes").read_text() == "* binary\n"


def test_what_is_above_is_said_not_hidden(tree: Path):
    (tree / ".git" / "info").mkdir(exist_ok=True)
    (tree / ".git" / "info" / "attributes").write_text("* text\n")
    assert "in spite of" in split(tree / "net.onnx").git


def test_a_folder_that_git_ignores_or_does_not_know(tree: Path, tmp_path: Path):
    (tree / ".gitignore").write_text("*.chunks/\n")
    assert split(tree / "net.onnx").git == ""
    assert split(tree / "net.onnx", tmp_path / "elsewhere").git == ""
    assert split(tree / "net.onnx", tree / "other", attributes=False).git == ""
    assert not (tree / ".gitattributes").exists()


def test_a_link_and_the_top_itself_are_left_alone(tree: Path, tmp_path: Path):
    (tmp_path / "attributes").write_text("")
    (tree / ".gitattributes").symlink_to(tmp_path / "attributes")
    assert "say `" in split(tree / "net.onnx").git
    assert (tmp_path / "attributes").read_text() == ""
    top = tmp_path / "top"
    top.mkdir()
    git(["init", "-q"], cwd=top)
    (tree / "net.onnx").rename(tmp_path / "net.onnx")
    assert "above them" in split(tmp_path / "net.onnx", top).git


def test_no_git_and_no_answer(tree: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(GitError):
        git(["no-such-command"], cwd=tree)
    monkeypatch.setenv("PATH", "")
    made = split(tree / "net.onnx")
    assert "could not be told" in made.git and "cannot be run" in made.git
    assert verify(made.folder).faults == ()


def test_pieces_are_the_same_in_a_repository_and_out_of_one(tree: Path, tmp_path: Path):
    inside = split(tree / "net.onnx")
    outside = split(tree / "net.onnx", tmp_path / "out")
    listed = [sorted(path.name for path in made.folder.iterdir()) for made in (inside, outside)]
    assert listed[0] == listed[1]
    assert subprocess.run(["git", "--version"], check=True, capture_output=True).stdout
