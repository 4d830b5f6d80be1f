"""Real small disks that fill up, and real folders that cannot be written."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trufor_onnx.chunking import FaultKind, Split, load, merge, split, verify
from trufor_onnx.errors import StorageError

Names = Callable[[Path], list[str]]
DISK_BYTES = 6 << 20
FILE_BYTES = 2 << 20


def run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this machine allows no small disk: {done.stderr.strip()}")


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of ``DISK_BYTES``."""
    place = tmp_path / "disk"
    place.mkdir()
    if request.param == "tmpfs":
        run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", place)
    else:
        image = tmp_path / "image"
        image.write_bytes(bytes(DISK_BYTES))
        run("mkfs.ext4", "-q", "-F", "-m", "0", image)
        run("mount", "-o", "loop", image, place)
        (place / "lost+found").rmdir()
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture
def pieces(tmp_path: Path, make_bytes: Callable[[int], bytes]) -> Split:
    (tmp_path / "file").write_bytes(make_bytes(FILE_BYTES))
    return split(tmp_path / "file", target=200_000)


def fill(disk: Path, left: int) -> None:
    """Write ballast until about ``left`` bytes are free."""
    status = os.statvfs(disk)
    size = max(0, status.f_bavail * status.f_frsize - left)
    with (disk / "ballast").open("wb") as stream:
        try:
            os.posix_fallocate(stream.fileno(), 0, max(1, size))
        except OSError:  # the file system's own tables take the rest: as full as it gets
            while size > 4096:
                size //= 2
                try:
                    stream.write(bytes(size))
                    stream.flush()
                except OSError:
                    continue


def test_merge_onto_a_disk_filled_to_random_points(disk: Path, pieces: Split, names: Names):
    original = pieces.file.read_bytes()
    chance = random.Random("merge")
    outcomes = {"merged": 0, "refused": 0}
    for left in [0, FILE_BYTES, 2 * FILE_BYTES] + [
        chance.randrange(2 * FILE_BYTES) for _ in range(20)
    ]:
        out = disk / "file"
        (disk / "ballast").unlink(missing_ok=True)
        out.write_bytes(b"old")
        fill(disk, left)
        try:
            merge(pieces.folder, out, force=True)
        except StorageError as error:
            outcomes["refused"] += 1
            assert "no space left" in error.problem
            assert "2.0 MiB needed" in error.problem
            assert out.read_bytes() == b"old"
        else:
            outcomes["merged"] += 1
            assert out.read_bytes() == original
        assert set(names(disk)) - {".file.merged.json"} == {"ballast", "file"}
    assert min(outcomes.values()) >= 3


def test_split_onto_a_disk_filled_to_random_points(
    disk: Path, tmp_path: Path, make_bytes: Callable[..., bytes]
):
    """Over an earlier release, which must stay whole, and whose pieces stay where they are."""
    old, new = tmp_path / "old" / "file", tmp_path / "new" / "file"
    for path in (old, new):
        path.parent.mkdir()
        path.write_bytes(make_bytes(FILE_BYTES // 2, path.parent.name))
    chance = random.Random("split")
    folder = disk / "pieces"
    outcomes = {"written": 0, "refused": 0}
    for left in [0, FILE_BYTES, FILE_BYTES // 2] + [
        chance.randrange(FILE_BYTES) for _ in range(20)
    ]:
        for path in [*folder.glob("*"), disk / "ballast"]:
            path.unlink(missing_ok=True)
        earlier = split(old, folder, target=100_000)
        fill(disk, left)
        try:
            made = split(new, folder, target=100_000)
        except StorageError as error:
            outcomes["refused"] += 1
            assert "no space left" in error.problem
            assert load(folder / "manifest.json") == earlier.manifest
        else:
            outcomes["written"] += 1
            assert made.written_pieces == len(made.manifest.chunks)
        assert {fault.kind for fault in verify(folder).faults} <= {FaultKind.UNLISTED}
        assert not [path for path in folder.iterdir() if path.name.endswith(".part")]
    assert min(outcomes.values()) >= 3


def test_first_split_onto_a_disk_that_is_too_small(disk: Path, pieces: Split, names: Names):
    fill(disk, FILE_BYTES // 2)
    with pytest.raises(StorageError, match=r"2\.0 MiB needed, .* free"):
        split(pieces.file, disk / "pieces")
    assert names(disk) == ["ballast"]


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that nothing can be written into, also by root."""
    place = tmp_path / "read-only"
    place.mkdir()
    if os.geteuid():
        (place / "file").write_bytes(b"old")
        place.chmod(0o500)
        yield place
        place.chmod(0o700)
        return
    run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place)
    try:
        (place / "file").write_bytes(b"old")
        run("mount", "-o", "remount,ro", place)
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_read_only_folder(read_only: Path, pieces: Split, names: Names):
    with pytest.raises(StorageError, match="could not write") as caught:
        merge(pieces.folder, read_only / "file", force=True)
    assert "--out" in caught.value.hint
    with pytest.raises(StorageError, match="could not write"):
        split(pieces.file, read_only / "pieces")
    assert names(read_only) == ["file"]
    assert (read_only / "file").read_bytes() == b"old"


def test_unreadable_pieces(pieces: Split, tmp_path: Path):
    if not os.geteuid():
        pytest.skip("root reads everything")
    path = pieces.folder / pieces.manifest.chunks[0].file_name
    path.chmod(0)
    (fault,) = verify(pieces.folder).faults
    assert fault.kind is FaultKind.UNREADABLE
    with pytest.raises(StorageError):
        merge(pieces.folder, tmp_path / "out")
