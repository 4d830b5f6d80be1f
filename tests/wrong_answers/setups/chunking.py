"""Files that are cut, merged, committed and released."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.wrong_answers.workshop import ROOT, Ran, Workshop, set_up

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 2211345\n"
)
PAGE = b"<!DOCTYPE html>\n<html><body>Sign in to continue</body></html>\n"


def _exported(w: Workshop, *, lock: bool = True) -> Path:
    """``models/tiny.onnx`` with its lock and its pieces."""
    w.network("tiny", "Small")
    assert w.run("export", "tiny", "--stand-in", "a", "--out", "models").code == 0
    file = w.folder / "models" / "tiny.onnx"
    ran = w.run("chunking", "split", file, "--target", "8KiB", "--max-size", "16KiB")
    assert ran.code == 0, ran.text
    if not lock:
        file.with_suffix(".lock.json").unlink()
    return file


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git/" not in str(path)
    }


def _wrong(good: bytes) -> dict[str, bytes]:
    return {
        "a git-lfs pointer": POINTER,
        "an HTML page": PAGE,
        "an empty file": b"",
        "a truncated file": good[: len(good) // 2],
        "a file cut by one byte": good[:-1],
    }


def _refused(ran: Ran, folder: Path, before: dict[str, bytes], what: str) -> None:
    assert ran.code == 2, f"{what}: exit {ran.code}: {ran.text}"
    assert "prune" not in ran.text, f"{what}: advises to prune: {ran.text}"
    assert "hint:" in ran.err, f"{what}: no hint: {ran.text}"
    assert _content(folder) == before, f"{what}: something was changed"


@set_up("12a", "split of a pointer, a page, an empty and a cut .onnx over good pieces", "exit 2")
def split_of_impostors(w: Workshop) -> str:
    for lock in (True, False):
        file = _exported(w, lock=lock)
        good = file.read_bytes()
        for what, data in _wrong(good).items():
            file.write_bytes(data)
            before = _content(file.parent)
            _refused(w.run("chunking", "split", file), file.parent, before, what)
            _refused(w.run("chunking", "split", file.parent), file.parent, before, what)
        shutil.rmtree(file.parent)
    return "exit 2 ten times with a lock and ten without, nothing changed"


@set_up("12b", "split of another, smaller network, or of other weights than the lock's", "exit 2")
def split_of_another(w: Workshop) -> str:
    file = _exported(w)
    assert w.run("export", "tiny", "--stand-in", "b", "--out", "other").code == 0
    shutil.copy(w.folder / "other" / "tiny.onnx", file)
    before = _content(file.parent)
    _refused(w.run("chunking", "split", file), file.parent, before, "other weights")
    shutil.copy(w.folder / "other" / "tiny.lock.json", file.parent)  # a retrained release
    ran = w.run("chunking", "split", file, "--target", "8KiB", "--max-size", "16KiB")
    assert ran.code == 0, f"a retrained file with its lock: {ran.text}"
    w.network("less", "Tiny")
    assert w.run("export", "less", "--stand-in", "b", "--out", "other").code == 0
    shutil.copy(w.folder / "other" / "less.onnx", file)
    file.with_suffix(".lock.json").unlink()
    before = _content(file.parent)
    _refused(w.run("chunking", "split", file), file.parent, before, "a smaller network")
    return "exit 2, nothing changed; a retrained file with its lock is split"


@set_up("13a", "pieces of a pointer, as older versions cut it, merged beside the file", "kept")
def merge_of_a_pointer(w: Workshop) -> str:
    file = _exported(w, lock=False)
    good = file.read_bytes()
    shutil.rmtree(file.with_suffix(".chunks"))
    wrong = w.folder / "tiny.txt"
    wrong.write_bytes(POINTER)
    ran = w.run("chunking", "split", wrong, "--out", "models/tiny.chunks", "--force")
    assert ran.code == 0, ran.text
    manifest = file.with_suffix(".chunks") / "manifest.json"
    manifest.write_text(manifest.read_text().replace("tiny.txt", "tiny.onnx"))
    before = _content(file.parent)
    for options in ((), ("--out", file), ("--force",)):
        ran = w.run("chunking", "merge", "models/tiny.chunks", *options)
        _refused(ran, file.parent, before, f"merge {options}")
    assert file.read_bytes() == good
    return "exit 2, file kept"


@set_up("13b", "merge over a file that no merge wrote, and over one that a merge did", "kept")
def merge_over_another(w: Workshop) -> str:
    file = _exported(w, lock=False)
    first = file.read_bytes()
    assert w.run("export", "tiny", "--stand-in", "b", "--out", "other").code == 0
    second = (w.folder / "other" / "tiny.onnx").read_bytes()
    file.write_bytes(second)
    before = _content(file.parent)
    ran = w.run("chunking", "merge", "models")
    _refused(ran, file.parent, before, "another file")
    file.unlink()
    assert w.run("chunking", "merge", "models").code == 0
    assert file.read_bytes() == first
    ran = w.run("chunking", "split", "other/tiny.onnx", "--out", "models/tiny.chunks", "--force")
    assert ran.code == 0, ran.text  # as `git pull` brings them
    ran = w.run("chunking", "merge", "models")
    assert ran.code == 0 and file.read_bytes() == second, f"after a pull: {ran.text}"
    return "exit 2, file kept; what a merge wrote is replaced"


class _Repository:
    def __init__(self, w: Workshop) -> None:
        self.w = w
        self.top = w.folder / "repository"
        self.top.mkdir()
        self.git("init", "-q")
        hooks = self.top / ".git" / "hooks"
        hooks.mkdir(exist_ok=True)
        entry = "parity files --staged"
        text = (ROOT / ".pre-commit-hooks.yaml").read_text("utf-8")
        assert f"entry: trufor-onnx {entry}\n" in text, "the hook runs another command"
        (hooks / "pre-commit").write_text(f'#!/bin/sh\nexec "$PYTHON" -m {entry}\n')
        (hooks / "pre-commit").chmod(0o755)

    def git(self, *words: object, fine: bool = True) -> Ran:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {
            "PYTHON": sys.executable,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{self.w.site}",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{
                f"GIT_{who}_{what}": "a@b"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        done = subprocess.run(
            ["git", *map(str, words)],
            cwd=self.top,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not fine or done.returncode == 0, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def stopped(self, what: str) -> None:
        ran = self.git("commit", "-qm", "x", fine=False)
        assert ran.code, f"{what}: the commit went through"
        assert "tiny.chunks" in ran.err, f"{what}: {ran.text}"

    def commit(self) -> None:
        ran = self.git("commit", "-qm", "x", fine=False)
        assert ran.code == 0, f"a right commit was stopped: {ran.text}"


def _repository(w: Workshop) -> tuple[_Repository, Path]:
    file = _exported(w)
    repository = _Repository(w)
    shutil.copytree(file.parent, repository.top / "models")
    sizes = ("--target", "8KiB", "--max-size", "16KiB")
    assert w.run("chunking", "split", "repository/models/tiny.onnx", *sizes).code == 0
    (repository.top / "models" / "tiny.onnx").unlink()
    return repository, repository.top / "models" / "tiny.chunks"


@set_up("14a", "pre-commit: the manifest staged, its pieces not", "stopped")
def untracked_pieces(w: Workshop) -> str:
    repository, folder = _repository(w)
    repository.git(
        "add", "models/.gitattributes", "models/tiny.lock.json", folder / "manifest.json"
    )
    repository.stopped("no piece")
    for path in sorted(folder.glob("*.chunk"))[1:]:
        repository.git("add", path)
    repository.stopped("one piece missing")
    repository.git("add", folder)
    repository.commit()
    return "stopped twice; all of them staged: committed"


@set_up("14b", "pre-commit: a piece removed with git rm, alone and with --cached", "stopped")
def removed_piece(w: Workshop) -> str:
    repository, folder = _repository(w)
    repository.git("add", "-A")
    repository.commit()
    for words in (("rm", "-q"), ("rm", "-q", "--cached")):
        repository.git(*words, sorted(folder.glob("*.chunk"))[0])
        repository.stopped(" ".join(words))
        repository.git("reset", "-q", "--hard")
    repository.git("rm", "-q", folder / "manifest.json")
    repository.stopped("the manifest removed")
    return "stopped three times"


@set_up("14c", "pre-commit: `* text` with autocrlf; a git-lfs pointer for a piece", "stopped")
def converted_pieces(w: Workshop) -> str:
    repository, folder = _repository(w)
    attributes = repository.top / "models" / ".gitattributes"
    assert "-text" in attributes.read_text("utf-8"), "split says nothing to git"
    good = attributes.read_bytes()
    attributes.unlink()
    (repository.top / ".gitattributes").write_text("* text\n")
    repository.git("config", "core.autocrlf", "true")
    repository.git("add", "-A")
    repository.stopped("* text")
    attributes.write_bytes(good)
    repository.git("add", "--renormalize", ".")
    repository.git("add", "-A")
    repository.commit()
    piece = sorted(folder.glob("*.chunk"))[0]
    data = piece.read_bytes()
    piece.write_bytes(POINTER)
    repository.git("add", piece)
    piece.write_bytes(data)
    repository.stopped("a pointer in place of a piece")
    return "stopped twice; with the line that split writes: committed"


@set_up("15", "release-verify without a key: the signature flipped, cut, emptied, gone", "refused")
def damaged_signature(w: Workshop) -> str:
    from tests.parity.release.conftest import write_keys

    folder = _released(w, write_keys(w.folder, "key")[0])
    assert w.run("parity", "release-verify", folder).code == 0
    path = folder / "provenance.dsse.json"
    data = path.read_bytes()
    envelope = json.loads(data)
    signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    signature[30] ^= 1
    envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode("ascii")
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    for what, wrong in {
        "one bit of the signature": (
            json.dumps(envelope, indent=1, sort_keys=True) + "\n"
        ).encode(),
        "one bit in the middle": bytes(flipped),
        "emptied": b"",
        "cut": data[: len(data) // 2],
        "cut by one byte": data[:-1],
    }.items():
        path.write_bytes(wrong)
        ran = w.run("parity", "release-verify", folder)
        assert ran.code == 1 and "provenance.dsse.json" in ran.err, f"{what}: {ran.text}"
    path.unlink()
    ran = w.run("parity", "release-verify", folder)
    assert ran.code == 1, f"taken away: {ran.text}"
    return "exit 1 six times"


def _released(w: Workshop, key: Path) -> Path:
    """A release of a network, made by the command line."""
    w.network("tiny", "Small")
    assert w.run("export", "tiny", "--stand-in", "a", "--out", "onnx_models").code == 0
    options = ("--models", "tiny", "--stand-in", "a", "--images", w.images())
    ran = w.run("parity", "run", *options)
    assert ran.code == 0, ran.text
    ran = w.run(
        *("parity", "release", "1.0", "--sign-key", key),
        *("--although", "a set-up", "--weights-licence", "none"),
    )
    assert ran.code == 0, ran.text
    return w.folder / "dist" / "models-1.0"
