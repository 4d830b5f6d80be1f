"""The cache: what is in it is used only where it is what was asked for, whole."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trufor_onnx.parity.references import store
from trufor_onnx.parity.references.keys import key_digest
from trufor_onnx.parity.references.store import ReferenceCache, Tally
from trufor_onnx.parity.results import container

KEY: dict[str, Any] = {"what": {"pixels": "a"}, "made_by": {"torch": "2"}}
ARRAY = np.arange(100.0)


@pytest.fixture
def cache(tmp_path: Path) -> ReferenceCache:
    return ReferenceCache(tmp_path / "cache", limit=1 << 20)


def file_of(cache: ReferenceCache, key: dict[str, Any]) -> Path:
    digest = key_digest(key)
    return cache.folder / digest[:2] / f"{digest}.ref"


def found(cache: ReferenceCache, key: dict[str, Any] = KEY) -> Any:
    entry = cache.find(key, Tally())
    return None if entry is None else entry.arrays.get("x")


def test_what_was_added_is_found(cache: ReferenceCache) -> None:
    assert found(cache) is None
    cache.add(KEY, arrays={"x": ARRAY}, document={"said": "so"})
    assert np.array_equal(found(cache), ARRAY)
    entry = cache.find(KEY, Tally())
    assert entry is not None and entry.document == {"said": "so"}


@pytest.mark.parametrize(
    "other",
    [
        {"what": {"pixels": "b"}, "made_by": {"torch": "2"}},
        {"what": {"pixels": "a"}, "made_by": {"torch": "3"}},
        {"what": {"pixels": "a"}, "made_by": {}},
    ],
)
def test_another_key_finds_nothing(cache: ReferenceCache, other: dict[str, Any]) -> None:
    cache.add(KEY, arrays={"x": ARRAY})
    assert found(cache, other) is None


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "foreign", "npz", "folder"])
def test_a_damaged_entry_is_counted_said_and_replaced(
    cache: ReferenceCache, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    cache.add(KEY, arrays={"x": ARRAY})
    path = file_of(cache, KEY)
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:-100])
    elif damage == "changed":
        path.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "npz":  # an object array, which would have to be unpickled
        np.savez(path.with_suffix(".npz"), x=np.array([{}], dtype=object))
        path.with_suffix(".npz").replace(path)
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        other = KEY | {"made_by": {"torch": "1"}}
        cache.add(other, arrays={"x": ARRAY + 1})
        file_of(cache, other).replace(path)
    tally = Tally()
    assert cache.find(KEY, tally) is None
    assert tally.corrupt == 1
    assert "computed again" in caplog.text
    if damage == "folder":
        path.rmdir()
    cache.add(KEY, arrays={"x": ARRAY})
    assert path.read_bytes() == whole
    assert np.array_equal(found(cache), ARRAY)


def fill(cache: ReferenceCache, count: int) -> list[dict[str, Any]]:
    """Entries of about 8 KB each, one used after the other."""
    keys = [{"number": number} for number in range(count)]
    for number, key in enumerate(keys):
        cache.add(key, arrays={"x": np.zeros(1000)})
        if file_of(cache, key).exists():
            os.utime(file_of(cache, key), (number, number))
    return keys


def test_the_entries_used_longest_ago_go(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path, limit=50_000)
    keys = fill(cache, 5)
    assert found(cache, keys[0]) is not None  # used just now
    for number in range(3):
        cache.add({"new": number}, arrays={"x": np.zeros(1000)})
    there = [file_of(cache, key).exists() for key in keys]
    assert there[0]
    assert not there[1]
    total = sum(path.stat().st_size for path in tmp_path.rglob("*.ref"))
    assert total <= 50_000


def test_an_entry_larger_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path, limit=1000)
    cache.add(KEY, arrays={"x": np.zeros(1000)})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_once_and_leaves_nothing_half_written(
    cache: ReferenceCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(stream: Any, entries: Any) -> None:  # noqa: ARG001
        stream.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "write_container", full)
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        cache.add(KEY, arrays={"x": ARRAY})
    assert caplog.text.count("No space left on device") == 1
    assert found(cache) is None
    assert [path for path in cache.folder.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_made_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ReferenceCache(tmp_path / "file" / "cache", limit=1 << 20)
    assert found(cache) is None
    cache.add(KEY, arrays={"x": ARRAY})
    cache.add(KEY, arrays={"x": ARRAY})
    assert caplog.text.count("not kept from here on") == 1


def test_parts_that_a_killed_process_left_are_removed(cache: ReferenceCache) -> None:
    folder = cache.folder / "ab"
    folder.mkdir(parents=True)
    for name, age in (("old.part", 10_000), ("new.part", 0)):
        (folder / name).write_text("half")
        now = (folder / name).stat().st_mtime
        os.utime(folder / name, (now - age, now - age))
    cache.add(KEY, arrays={"x": ARRAY})
    assert sorted(path.name for path in folder.iterdir()) == ["new.part"]


def test_an_entry_that_goes_while_it_is_opened_is_missing_not_damaged(
    cache: ReferenceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may evict it between any two system calls."""
    cache.add(KEY, arrays={"x": ARRAY})
    opened = container.open_regular

    def evicted_first(path: Path, *, follow_link: bool) -> int:
        path.unlink()
        return opened(path, follow_link=follow_link)

    monkeypatch.setattr(container, "open_regular", evicted_first)
    tally = Tally()
    assert cache.find(KEY, tally) is None
    assert tally.corrupt == 0


WRITER = """
import sys
import numpy as np
from pathlib import Path
from trufor_onnx.parity.references.store import ReferenceCache, Tally
cache = ReferenceCache(Path(sys.argv[1]), limit=200_000)
tally = Tally()
for turn in range(150):
    key = {"number": turn % 40}
    entry = cache.find(key, tally)
    if entry is None:
        cache.add(key, arrays={"x": np.full(1000, turn % 40.0)})
    else:
        assert (entry.arrays["x"] == turn % 40).all()
assert tally.corrupt == 0, tally
"""


def test_several_processes_share_a_folder(tmp_path: Path) -> None:
    """They write and evict the same entries; nobody ever sees half of one."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], errors
    assert list(tmp_path.rglob("*.part")) == []
