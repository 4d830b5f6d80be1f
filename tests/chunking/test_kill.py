"""SIGKILL at random points: the old release stays whole, and the next run ends right."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trufor_onnx.chunking import FaultKind, load, merge, split, verify
from trufor_onnx.chunking.merging import record_path
from trufor_onnx.chunking.verifying import PART_NAME

pytestmark = pytest.mark.slow

KILLS = 110  # of running processes, a test
TARGET = 64 << 10
SIZE = 12 << 20
CHILD = """if True:
    import json, sys
    from pathlib import Path
    from trufor_onnx.chunking import merge, split
    kind, source, out = json.loads(sys.argv[1])
    sys.stdout.write("ready")
    sys.stdout.flush()
    if kind == "split":
        split(Path(source), Path(out), target=TARGET)
    else:
        merge(Path(source), Path(out), force=True)
""".replace("TARGET", str(TARGET))


def start(kind: str, source: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start a run; returns when it is about to begin its work."""
    arguments = json.dumps([kind, str(source), str(out)])
    child = subprocess.Popen([sys.executable, "-c", CHILD, arguments], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.read(5) == b"ready"
    return child


def duration(begin: Callable[[], subprocess.Popen[bytes]]) -> float:
    """How long the work takes, in seconds: the median of three runs."""
    times = []
    for _ in range(3):
        with begin() as child:
            begun = time.perf_counter()
            assert child.wait(timeout=120) == 0
            times.append(time.perf_counter() - begun)
    return statistics.median(times)


def kill_often(begin: Callable[[], subprocess.Popen[bytes]], check: Callable[[], None]) -> int:
    """Kill runs at random moments, ``KILLS`` of them before their end, checking after each.

    Returns the number of runs that were over before the signal came.
    """
    chance = random.Random("kill")
    longest = duration(begin)
    killed = over = 0
    while killed < KILLS:
        assert over < 10 * KILLS, "the runs are over before they can be killed"
        with begin() as child:
            time.sleep(chance.uniform(0, longest))
            child.send_signal(signal.SIGKILL)
            code = child.wait(timeout=120)
        assert code in (0, -signal.SIGKILL)
        killed += code != 0
        over += code == 0
        check()
    return over


@pytest.fixture(scope="module")
def releases() -> dict[str, bytes]:
    """Two files of which the second half differs."""
    half = random.Random("half").randbytes(SIZE // 2)
    return {name: half + random.Random(name).randbytes(SIZE // 2) for name in ("old", "new")}


def test_killed_merge_leaves_the_old_file(tmp_path: Path, releases: dict[str, bytes]):
    (tmp_path / "file").write_bytes(releases["new"])
    made = split(tmp_path / "file", target=TARGET)
    out = tmp_path / "out" / "file"
    out.parent.mkdir()
    seen = {"old": 0, "new": 0}

    def begin() -> subprocess.Popen[bytes]:
        out.write_bytes(releases["old"])
        return start("merge", made.folder, out)

    def check() -> None:
        data = out.read_bytes()
        seen["old"] += data == releases["old"]
        seen["new"] += data == releases["new"]
        assert data in (releases["old"], releases["new"])
        for path in out.parent.iterdir():
            # Between its link and its replacement a whole file has a name of its own.
            assert path in (out, record_path(out)) or PART_NAME.fullmatch(path.name)

    over = kill_often(begin, check)
    assert seen["old"] + seen["new"] == KILLS + over
    assert seen["old"] >= KILLS // 2, "the kills came too late to prove anything"
    merge(made.folder, out, force=True)  # no merge wrote the old file
    assert out.read_bytes() == releases["new"]


@pytest.mark.parametrize("earlier", [True, False], ids=["re-split", "first split"])
def test_killed_split_leaves_the_earlier_release(
    tmp_path: Path, releases: dict[str, bytes], earlier: bool
):
    """Also the interrupted re-split: what the folder says it holds, it holds."""
    for name, data in releases.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(data)
    old = split(tmp_path / "old" / "file", tmp_path / "pristine", target=TARGET)
    new = split(tmp_path / "new" / "file", tmp_path / "expected", target=TARGET)
    folder = tmp_path / "work"
    seen = {"none": 0, "old": 0, "new": 0}
    unfinished = 0

    def begin() -> subprocess.Popen[bytes]:
        shutil.rmtree(folder, ignore_errors=True)
        if earlier:  # hard links are enough: pieces are replaced, never changed
            shutil.copytree(tmp_path / "pristine", folder, copy_function=os.link)
        return start("split", tmp_path / "new" / "file", folder)

    def check() -> None:
        nonlocal unfinished
        if not (folder / "manifest.json").exists():
            assert not earlier
            seen["none"] += 1
            unfinished += folder.is_dir() and any(folder.iterdir())
            return
        manifest = load(folder / "manifest.json")
        state = {old.manifest: "old", new.manifest: "new"}[manifest]
        seen[state] += 1
        found = verify(folder).faults
        assert {fault.kind for fault in found} <= {FaultKind.UNLISTED}
        unfinished += bool(found) and state == "old"

    kill_often(begin, check)
    assert seen["old" if earlier else "none"] >= KILLS // 2
    assert unfinished >= KILLS // 4, "the kills came too early to prove anything"
    assert verify(tmp_path / "pristine").faults == ()
    begin().communicate(timeout=120)
    assert load(folder / "manifest.json") == new.manifest
    merge(folder, tmp_path / "merged")
    assert (tmp_path / "merged").read_bytes() == releases["new"]
