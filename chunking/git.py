"""Does git leave the bytes of pieces alone? What it does to files is said in ``.gitattributes``."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from trufor_onnx.chunking.folders import FOLDER_SUFFIX
from trufor_onnx.chunking.manifest import MANIFEST_NAME, Manifest
from trufor_onnx.files import atomic_write

ATTRIBUTES = ".gitattributes"
KEEP_BYTES = "-text -diff -merge -filter -ident -working-tree-encoding"
_REWRITE = ("filter", "ident", "working-tree-encoding")
_ASKED = ("text", "eol", *_REWRITE)
_OFF = ("unspecified", "unset")
_SPECIAL = '\\*?[]!#"'


class GitError(Exception):
    """Git is not installed, or did not answer; the text says why."""


def git(
    words: Sequence[str], *, cwd: Path | None = None, stdin: bytes = b"", codes: Sequence[int] = ()
) -> bytes:
    """What a git command prints.

    Args:
        words: the command and its options.
        cwd: where it is run.
        stdin: what it reads.
        codes: exit codes beside 0 that are an answer too.

    Raises:
        GitError: it cannot be run, or failed.
    """
    try:
        done = subprocess.run(
            ["git", *words], cwd=cwd, input=stdin, capture_output=True, check=False
        )
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror}") from error
    if done.returncode and done.returncode not in codes:
        lines = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
        raise GitError(lines[0] if lines else f"git {words[0]} failed")
    return done.stdout


def rewritten(
    paths: Sequence[bytes], *, cwd: Path | None = None, staged: bool = False, strict: bool = True
) -> dict[bytes, str]:
    """The paths whose bytes git may change between its store and the disk, with the attribute.

    Args:
        paths: files in a work tree, which need not be there.
        cwd: a folder in it, to which they are relative.
        staged: ask the ``.gitattributes`` that are staged, not those on the disk.
        strict: also where no attribute says anything: line ends are then up to each clone's
            ``core.autocrlf``, which Git for Windows turns on.

    Raises:
        GitError: git did not answer.
    """
    words = ["check-attr", "--stdin", "-z", *(["--cached"] if staged else []), *_ASKED]
    answer = git(words, cwd=cwd, stdin=b"".join(path + b"\0" for path in paths))
    fields = answer.split(b"\0")[:-1]
    values: dict[bytes, dict[str, str]] = {path: {} for path in paths}
    for path, name, value in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
        values.setdefault(path, {})[name.decode()] = value.decode("utf-8", "backslashreplace")
    reasons = {path: _reason(found, strict) for path, found in values.items()}
    return {path: reason for path, reason in reasons.items() if reason}


def _reason(values: Mapping[str, str], strict: bool) -> str:
    for name in _REWRITE:
        if values[name] not in _OFF:
            return f"{name}: {values[name]}"
    if values["text"] == "unset":
        return ""
    if values["text"] != "unspecified":
        return f"text: {values['text']}"
    if values["eol"] not in _OFF:
        return f"eol: {values['eol']}"
    return "text: unspecified" if strict else ""


def protect(folder: Path, manifest: Manifest) -> str:
    """Let git keep the bytes of a folder's files: a line in the ``.gitattributes`` beside it.

    Nothing is written outside of a work tree, where git ignores the folder, or where all is right.
    A file that is there is only added to.

    Returns:
        what was written, or what must be done by hand; "" if nothing.
    """
    folder = folder.resolve()
    if not any((place / ".git").exists() for place in (folder, *folder.parents)):
        return ""  # quickly: most folders are in none
    names = [os.fsencode(name) for name in (MANIFEST_NAME, *sorted(manifest.piece_names))]
    try:
        if git(["check-ignore", "--", MANIFEST_NAME], cwd=folder, codes=(1,)):
            return ""
        if not rewritten(names, cwd=folder):
            return ""
        place, line = folder.parent / ATTRIBUTES, f"{_pattern(folder.name)} {KEEP_BYTES}"
        top = git(["rev-parse", "--show-toplevel"], cwd=folder).removesuffix(b"\n")
        if Path(os.fsdecode(top)) == folder or place.is_symlink():
            return f"git may change the pieces' bytes: say `{line}` in a {ATTRIBUTES} above them"
        _append(place, line)
        left = rewritten(names, cwd=folder)
    except (GitError, OSError) as error:
        return f"git may change the pieces' bytes, and could not be told not to: {error}"
    if left:
        reason = next(iter(left.values()))
        return f"git may change the pieces' bytes in spite of {place} ({reason}): look for it there"
    return f"{place} says `{line}` now: commit it with the pieces"


def _pattern(name: str) -> str:
    if name.endswith(FOLDER_SUFFIX):
        return f"*{FOLDER_SUFFIX}/**"
    plain = "".join("\\" + letter if letter in _SPECIAL else letter for letter in name)
    if plain == name and " " not in name:
        return f"/{name}/**"
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"/{quoted}/**"'


def _append(place: Path, line: str) -> None:
    there = place.read_bytes() if place.exists() else b""
    if there and not there.endswith(b"\n"):
        there += b"\n"
    atomic_write(place, there + os.fsencode(f"{line}\n"))
