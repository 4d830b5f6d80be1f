"""One image's way from the command line to its row: opened once, through few files of ours."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trufor_onnx.parity.results.rows import Row
from trufor_onnx.parity.running import run
from trufor_onnx.parity.running.side_by_side import Bench

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("trufor_onnx", "chunking", "export", "parity", "runtime")
# What the network itself is written in is not on the way: a user's lies elsewhere.
NETWORKS = "export/models/"
MOST_FILES = 18

Exported = Callable[[str], Path]
Images = Callable[..., Path]

_listening: list[Counter[str]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening and event == "open" and isinstance(arguments[0], str | bytes | Path):
        path = arguments[0]
        _listening[-1][path.decode() if isinstance(path, bytes) else str(path)] += 1


sys.addaudithook(_hear)  # Python tells it of every file that it opens; it cannot be taken away


@contextmanager
def opened() -> Iterator[Counter[str]]:
    """How often each file is opened within the block, by its path."""
    counts: Counter[str] = Counter()
    _listening.append(counts)
    try:
        yield counts
    finally:
        _listening.remove(counts)


@dataclass
class Way:
    """Files of ours, with their functions, through which an image went.

    Attributes:
        to_rows: from its reading to its last row.
        whole: to its line in the journal and its pictures for the report, too.
    """

    to_rows: dict[str, set[str]] = field(default_factory=dict)
    whole: dict[str, set[str]] = field(default_factory=dict)


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Way:
    """The way of all images of the runs within a test, once they are done."""
    found = Way()
    here: set[tuple[str, str]] = set()  # of one image
    measured, rows = run._measured, Bench.rows

    def note(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT):
            name = path.relative_to(ROOT).as_posix()
            if name.startswith(PACKAGES) and not name.startswith(NETWORKS):
                here.add((name, frame.f_code.co_name))

    def add(files: dict[str, set[str]]) -> None:
        for name, function in here:
            files.setdefault(name, set()).add(function)

    def traced(bench: Any, case: Any, *others: Any) -> Any:
        if case.size is not None:
            return measured(bench, case, *others)
        here.clear()
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            return measured(bench, case, *others)
        finally:
            sys.setprofile(before)
            add(found.whole)

    def yielding(bench: Bench, loaded: Any) -> Iterator[Row]:
        for row in rows(bench, loaded):
            if loaded.case.size is None:
                add(found.to_rows)
            yield row

    monkeypatch.setattr(run, "_measured", traced)
    monkeypatch.setattr(Bench, "rows", yielding)
    return found


def times(counts: Counter[str], images: Path) -> dict[str, int]:
    return {path.name: counts[str(path)] for path in sorted(images.iterdir())}


def test_an_image_is_opened_once_and_passes_through_few_files(
    parity: Any,
    exported: Exported,
    make_images: Images,
    way: Way,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The whole command, its reports and their pictures included. Both figures are printed."""
    exported("tiny_np")
    images = make_images(3)
    with opened() as counts:
        ran = parity("--no-cache", shapes=False)
    assert ran.code == 0 and len(ran.report["pictures"]["panels"]) == 3
    beyond = way.whole.keys() - way.to_rows.keys()
    with capsys.disabled():
        found = max(times(counts, images).values())
        sys.stdout.write(f"\nan image is opened {found} time(s); files of ours:\n")
        for what, files in (("to its rows", way.to_rows), ("beyond", beyond)):
            sys.stdout.write(f"{what}, {len(files)}: {', '.join(sorted(files))}\n")
    assert set(times(counts, images).values()) == {1}
    assert "decode" in way.to_rows["export/networks/preprocess.py"]  # the third: shapes need two
    assert {"parity/inputs/cases.py", "parity/running/judging.py"} <= way.to_rows.keys()
    assert "parity/running/gallery.py" in beyond
    assert len(way.to_rows) <= MOST_FILES


@pytest.mark.parametrize("arguments", [[], ["--no-cache"], ["--models", "tiny_np", "tiny_mit"]])
def test_each_of_many_images_is_opened_once_a_network(
    parity: Any, exported: Exported, make_images: Images, arguments: list[str]
) -> None:
    """Also where shapes are cut from the first two, which stay in memory."""
    exported("tiny_np")
    exported("tiny_mit")
    images = make_images(4)
    with opened() as counts:
        ran = parity(*arguments)
    assert ran.code == 0
    again = 2 if "tiny_mit" in arguments else 1
    assert times(counts, images) == {
        "image_0000.png": 1,
        "image_0001.png": 1,
        "image_0002.png": again,
        "image_0003.png": again,
    }


def test_what_shows_nothing_is_opened_while_others_are_looked_for(
    parity: Any, exported: Exported, make_images: Images
) -> None:
    """No more is read ahead than it takes to find two pictures that show something."""
    exported("tiny_np")
    images = make_images(4)
    Image.fromarray(np.zeros((40, 48, 3), np.uint8)).save(images / "a_flat_one.png")
    with opened() as counts:
        ran = parity(shapes=False)
    assert ran.report["models"]["tiny_np"]["data_set"]["flat"] == 1
    assert times(counts, images) == {
        "a_flat_one.png": 2,
        **{f"image_{number:04d}.png": 1 for number in range(4)},
    }


def test_the_counter_counts(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with opened() as counts:
        path.write_bytes(b"")
        path.read_bytes()
        with path.open("rb"):
            pass
    path.read_bytes()
    assert counts[str(path)] == 3
