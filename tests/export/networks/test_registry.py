"""Networks are found by name: ours, timm's, and those of installed packages."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trufor_onnx.errors import ExportError
from trufor_onnx.export.cli import main
from trufor_onnx.export.networks.registry import ENTRY_POINT_GROUP, find, registered

PACKAGES = ("their_package", "my_package")
OURS = ["noiseprint_pp", "mit_b2", "trufor", "trufor_head"]
SPECS = """
from trufor_onnx.export.networks.spec import ModelSpec, TensorSpec

def one(name="theirs"):
    axes = ("batch", 3, "height", "width")
    return ModelSpec(
        name=name, title="A network of another package", version="1",
        inputs=(TensorSpec("image", axes, "RGB / 256"),),
        outputs=(TensorSpec("edges", axes, "edges"),),
        builder="their_package.specs:build",
    )

def several():
    return [one("first"), one("second")]

def build():
    import torch
    torch.manual_seed(0)
    return torch.nn.Conv2d(3, 3, 3, padding=1)

def ours(): return one("trufor")
def timms(): return one("timm:resnet18")
def strange(): return [one(), "no spec"]
def nothing(): return None
no_function = 3
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Make a package with an entry point, as pip would lay it out."""

    def put(points: str) -> None:
        site = tmp_path / "site"
        (site / "their_package").mkdir(parents=True)
        (site / "their_package/__init__.py").touch()
        (site / "their_package/specs.py").write_text(SPECS)
        info = site / "their_package-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{points}\n")
        monkeypatch.syspath_prepend(site)
        registered.cache_clear()

    yield put
    registered.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] in PACKAGES]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    registered.cache_clear()
    yield
    registered.cache_clear()


def test_ours() -> None:
    assert list(registered()) == OURS
    for name in OURS:
        assert find(name).name == name


def test_an_unknown_name_lists_those_that_there_are() -> None:
    with pytest.raises(ExportError) as refusal:
        find("noiseprint")
    for name in (*OURS, "timm:NAME"):
        assert name in refusal.value.hint


def test_an_outside_package_adds_a_network(install: Callable[[str], None]) -> None:
    install("one = their_package.specs:one")
    assert list(registered()) == [*OURS, "theirs"]
    assert find("theirs").title == "A network of another package"


def test_its_network_goes_through_the_same_export(
    install: Callable[[str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("one = their_package.specs:one")
    assert main(["theirs", "--stand-in", "s", "--out", "out"]) == 0
    assert (tmp_path / "out/theirs.onnx").is_file()
    assert main(["check", "--onnx-models", "out"]) == 0
    assert "theirs.lock.json: the same bytes" in capsys.readouterr().out
    assert main(["list"]) == 0
    assert "theirs" in capsys.readouterr().out


def test_several_networks(install: Callable[[str], None]) -> None:
    install("some = their_package.specs:several")
    assert list(registered()) == [*OURS, "first", "second"]


@pytest.mark.parametrize(
    ("points", "fault"),
    [
        ("x = their_package.specs:ours", "the name 'trufor' is taken"),
        ("x = their_package.specs:timms", "the name 'timm:resnet18' is taken"),
        ("x = their_package.specs:one\ny = their_package.specs:one", "'theirs' is taken"),
        ("x = their_package.specs:strange", "gave str, not a ModelSpec"),
        ("x = their_package.specs:nothing", "gave NoneType, not a ModelSpec"),
        ("x = their_package.specs:absent", "does not load"),
        ("x = their_package.absent:one", "does not load"),
        ("x = their_package.specs:no_function", "does not load"),
    ],
)
def test_what_an_entry_point_may_not_do(
    points: str, fault: str, install: Callable[[str], None]
) -> None:
    install(points)
    with pytest.raises(ExportError, match=fault) as refusal:
        registered()
    assert "their_package" in str(refusal.value)
    assert find("trufor").name == "trufor"  # ours work whatever else is installed


def test_the_example_in_the_documentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: Callable[[str], None]
) -> None:
    guide = Path(__file__).parents[3] / "docs/adding-a-network.md"
    blocks = re.findall(r"```(\w+)\n(.*?)```", guide.read_text(), re.S)
    code = next(text for kind, text in blocks if kind == "python" and "def specs" in text)
    group = next(text for kind, text in blocks if kind == "toml")
    assert f'[project.entry-points."{ENTRY_POINT_GROUP}"]' in group
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "onnx_specs.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    install("my_package = my_package.onnx_specs:specs")
    assert find("my_detector").fixed_size is None
