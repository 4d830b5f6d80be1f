"""What git has staged: names, kinds, sizes and bytes of the files of the next commit."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from trufor_onnx.chunking.git import GitError, git, rewritten
from trufor_onnx.errors import ParityError
from trufor_onnx.files import BLOCK_BYTES

REGULAR = ("100644", "100755")
KINDS = {"120000": "a symbolic link", "160000": "a submodule"}


@dataclass(frozen=True)
class Blob:
    """A staged file: its mode as git writes it, and git's name of its content."""

    mode: str
    oid: str

    @property
    def kind(self) -> str:
        """What it is where it is no regular file; "" for one."""
        return "" if self.mode in REGULAR else KINDS.get(self.mode, f"of mode {self.mode}")


@dataclass(frozen=True)
class Index:
    """The index of a repository.

    Attributes:
        top: the work tree's folder.
        files: what the next commit holds, by path from ``top``.
        changed: the paths that it adds, changes or removes.
    """

    top: Path
    files: dict[PurePosixPath, Blob]
    changed: frozenset[PurePosixPath]

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """Bytes of every content, by git's name of it. One question to git for all of them."""
        oids = sorted({blob.oid for blob in self.files.values() if not blob.kind})
        form = "--batch-check=%(objectname) %(objectsize)"
        answer = git(
            ["cat-file", form], cwd=self.top, stdin="".join(f"{o}\n" for o in oids).encode()
        )
        pairs = (line.split() for line in answer.decode().splitlines())
        return {oid: int(size) for oid, size in pairs if size.isdigit()}

    def size(self, path: PurePosixPath) -> int:
        """Bytes of a staged regular file.

        Raises:
            ParityError: git does not have it.
        """
        oid = self.files[path].oid
        if oid not in self._sizes:
            raise ParityError(
                f"{path}: git has not the content that is staged ({oid[:16]})",
                hint="git fsck says what is missing; then: git add",
            )
        return self._sizes[oid]

    def sha256(self, path: PurePosixPath) -> str:
        """The SHA-256 of a staged file's bytes. (Git's own name is of another form.)

        Raises:
            ParityError: git does not give it.
        """
        digest = hashlib.sha256()
        for block in self.blocks(path):
            digest.update(block)
        return digest.hexdigest()

    def read(self, path: PurePosixPath, limit: int) -> bytes:
        """The first bytes of a staged file, at most ``limit``."""
        data = b""
        for block in self.blocks(path):
            data += block
            if len(data) >= limit:
                break
        return data[:limit]

    def blocks(self, path: PurePosixPath) -> Iterator[bytes]:
        """A staged file's bytes, as they are stored: not as a filter would check them out."""
        expected = self.size(path)
        command = ["git", "cat-file", "blob", self.files[path].oid]
        with subprocess.Popen(
            command, cwd=self.top, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            while expected:
                block = process.stdout.read(min(expected, BLOCK_BYTES))
                if not block:
                    raise ParityError(
                        f"{path}: git does not give the content that is staged",
                        hint="git fsck says what is damaged; then: git add",
                    )
                expected -= len(block)
                yield block

    def rewritten(
        self, paths: Iterable[PurePosixPath], *, strict: bool
    ) -> dict[PurePosixPath, str]:
        """Paths whose bytes git may change between a commit and a work tree, and why.

        Args:
            paths: staged files.
            strict: also where only the settings of a clone decide.
        """
        names = [os.fsencode(str(path)) for path in paths]
        if not names:
            return {}
        found = rewritten(names, cwd=self.top, staged=True, strict=strict)
        return {_path(name): why for name, why in found.items()}

    @cached_property
    def converts(self) -> bool:
        """Whether this repository's own settings change line ends of what looks like text."""
        found = git(["config", "core.autocrlf"], cwd=self.top, codes=(1,))
        return found.strip().lower() in (b"true", b"input")


def open_index() -> Index | None:
    """The index of the repository around the current folder; None outside of a work tree.

    Raises:
        ParityError: there is a repository, and git cannot read it.
    """
    here = Path.cwd()
    inside = "GIT_DIR" in os.environ or any((p / ".git").exists() for p in (here, *here.parents))
    if not inside:
        return None
    try:
        top = Path(os.fsdecode(git(["rev-parse", "--show-toplevel"]).removesuffix(b"\n")))
        files = {}
        for entry in git(["ls-files", "--stage", "-z"], cwd=top).split(b"\0")[:-1]:
            about, _, name = entry.partition(b"\t")
            mode, oid, stage = about.decode().split()
            if stage == "0":  # others are sides of a conflict, which git does not commit
                files[_path(name)] = Blob(mode, oid)
        words = ["diff", "--cached", "--name-only", "-z", "--no-renames", "--no-ext-diff"]
        changed = frozenset(map(_path, git(words, cwd=top).split(b"\0")[:-1]))
    except GitError as error:
        raise ParityError(
            f"git does not say what is staged: {error}", hint="git status says more"
        ) from error
    return Index(top, files, changed)


def _path(name: bytes) -> PurePosixPath:
    return PurePosixPath(os.fsdecode(name))
