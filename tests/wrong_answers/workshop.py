"""A folder in which a set-up is built and the commands are run as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RGB = ("x", ("batch", 3, "height", "width"))
MASK = ("mask", ("batch", 1, "height", "width"))
SPECS = """
import json
from pathlib import Path
from trufor_onnx.export.networks.spec import ModelSpec, Preprocessing, TensorSpec


def _tensors(given):
    return tuple(TensorSpec(name, tuple(axes), "of the set-up") for name, axes in given)


def specs():
    found = []
    for path in sorted(Path(__file__).parent.glob("*.spec.json")):
        given = json.loads(path.read_text("utf-8"))
        given["inputs"], given["outputs"] = _tensors(given["inputs"]), _tensors(given["outputs"])
        given["preprocessing"] = Preprocessing(**given["preprocessing"])
        for key in ("trace_size", "fixed_size"):
            if given.get(key):
                given[key] = tuple(given[key])
        found.append(ModelSpec(**given))
    return found
"""


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams."""
        return self.out + self.err


@dataclass
class Workshop:
    """An empty folder, with networks that are found as an installed package's are."""

    folder: Path
    site: Path = field(init=False)

    def __post_init__(self) -> None:
        self.site = self.folder / "site"
        info = self.site / "set_up-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: set-up\nVersion: 1\n")
        (info / "entry_points.txt").write_text(
            "[trufor_onnx.models]\nset_up = set_up_specs:specs\n"
        )
        (self.site / "set_up_specs.py").write_text(SPECS)
        here = Path(__file__).parent
        (self.site / "networks.py").write_text((here / "networks.py").read_text("utf-8"))

    def network(
        self,
        name: str,
        builder: str,
        *,
        inputs: Sequence[tuple[str, Sequence[int | str]]] = (RGB,),
        outputs: Sequence[tuple[str, Sequence[int | str]]] = (MASK,),
        scale: float = 255.0,
        **fields: Any,
    ) -> str:
        """Register a network of ``networks.py`` (or ``module:callable`` in ``site``)."""
        given = {
            "name": name,
            "title": name,
            "version": "1",
            "inputs": inputs,
            "outputs": outputs,
            "builder": builder if ":" in builder else f"networks:{builder}",
            "preprocessing": {"scale": scale},
        } | fields
        (self.site / f"{name}.spec.json").write_text(json.dumps(given))
        return name

    def run(self, *words: object, **environment: str) -> Ran:
        """``python -m WORDS`` in the folder, without any weights of this machine."""
        paths = f"{ROOT}{os.pathsep}{self.site}"
        given = {k: v for k, v in os.environ.items() if k != "TRUFOR_WEIGHTS"}
        given |= {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment}
        ran = subprocess.run(
            [sys.executable, "-m", *map(str, words)],
            cwd=self.folder,
            env=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback (most recent call last)" not in ran.stderr, ran.stderr
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def python(self, code: str) -> str:
        """Run a few lines with the networks at hand; what they print."""
        paths = f"{ROOT}{os.pathsep}{self.site}"
        given = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        ran = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.folder,
            env=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def images(
        self, count: int = 2, size: tuple[int, int] = (64, 48), name: str = "images"
    ) -> Path:
        """A folder of crops (height, width) of the project's own pictures."""
        from PIL import Image

        place = self.folder / name
        place.mkdir(exist_ok=True)
        data = ROOT / "sample_dataset"
        pictures = [*sorted((data / "real").iterdir()), *sorted((data / "fake").iterdir())]
        for index in range(count):
            with Image.open(pictures[index % len(pictures)]) as picture:
                left, top = 7 * index, 5 * index
                crop = picture.convert("RGB").crop((left, top, left + size[1], top + size[0]))
            crop.save(place / f"picture_{index:03d}.png")
        return place

    def report(self, out: str = "reports/parity") -> dict[str, Any]:
        """The last run's ``parity.json``."""
        found: dict[str, Any] = json.loads((self.folder / out / "parity.json").read_text("utf-8"))
        return found


@dataclass(frozen=True)
class SetUp:
    """One row of the table.

    Attributes:
        number: its number; letters tell parts apart (``22b``).
        what: the set-up, in a line.
        wanted: how it must end.
        act: builds it, runs it, asserts that end, and returns how it ended in a few words.
    """

    number: str
    what: str
    wanted: str
    act: Callable[[Workshop], str]


SET_UPS: dict[str, SetUp] = {}


def set_up(number: str, what: str, wanted: str) -> Callable[[Callable[[Workshop], str]], None]:
    """Decorates the function of a row."""

    def add(act: Callable[[Workshop], str]) -> None:
        assert number not in SET_UPS, number
        SET_UPS[number] = SetUp(number, what, wanted, act)

    return add
