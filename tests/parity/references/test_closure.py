"""Which code a stored reference is a function of: whatever is reached makes another key."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trufor_onnx.export.networks.spec import ModelSpec, TensorSpec
from trufor_onnx.parity.references import closure as module
from trufor_onnx.parity.references import installed, keys
from trufor_onnx.parity.references.closure import Closure, closure, strangers

ROOT = Path(__file__).resolve().parents[3]
FORWARD = "import torch\n\ndef build():\n"


def forget() -> None:
    for cached in (closure, module._top_spec, installed.installed, installed.by_name):
        cached.cache_clear()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder on the path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    forget()
    return folder


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__in__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def found(*starts: str) -> Closure:
    forget()
    return closure(*starts, content=True)


@pytest.mark.parametrize(
    "text",
    [
        "import blocks",
        "from blocks import act",
        "def build():\n    from blocks import act",
        "class A:\n    def f(self):\n        try:\n            import blocks\n        finally: x",
        "import importlib\nblocks = importlib.import_module('blocks')",
        "blocks = __import__('blocks')",
        "import between",
        "match 1:\n    case 1:\n        import blocks",
        "x = 1; import os, blocks as b",
    ],
)
def test_a_changed_module_that_is_reached_makes_another_key(site: Path, text: str) -> None:
    write(site, user_net=text, blocks="act = 1", between="from blocks import act", unused="a = 1")
    before = found("user_net")
    assert not before.unseen
    write(site, unused="a = 2")
    assert found("user_net").digest == before.digest
    write(site, blocks="act = 2")
    assert found("user_net").digest != before.digest
    assert "blocks" not in sys.modules and "user_net" not in sys.modules


def test_every_module_of_a_user_s_package_counts(site: Path) -> None:
    """A package may import its parts by names that it makes."""
    dynamic = "import importlib\ndef f(n):\n    return importlib.import_module(f'.{n}', __name__)\n"
    write(
        site,
        mine__in____init__="",
        mine__in__net=dynamic + "from . import a\nfrom .deep.b import c\nfrom ..x import y\n",
        mine__in__a="",
        mine__in__deep__in__b="c = 1",
        mine__in__plugins__in__p="x = 1",
    )
    before = found("mine.net")
    assert not before.unseen
    assert {"mine", "mine.net", "mine.a", "mine.deep.b", "mine.plugins.p"} <= set(before.files)
    write(site, mine__in__plugins__in__p="x = 2")
    assert found("mine.net").digest != before.digest


def test_a_module_that_comes_to_be_there_makes_another_key(site: Path) -> None:
    write(site, user_net="try:\n    import faster_blocks\nexcept ImportError:\n    pass\n")
    before = found("user_net")
    assert not before.unseen
    write(site, faster_blocks="x = 1")
    assert found("user_net").digest != before.digest


def test_a_data_file_that_code_names_counts(site: Path) -> None:
    write(site, user_net="CONFIG = open('depth.json')\n")
    (site / "depth.json").write_text("2")
    before = found("user_net")
    (site / "depth.json").write_text("3")
    assert found("user_net").digest != before.digest


@pytest.mark.parametrize(
    "text",
    [
        "import importlib\nimportlib.import_module(NAME)",
        "import sys\nsys.path.insert(0, 'lib')",
        "from importlib.util import spec_from_file_location\nspec_from_file_location('a', 'b')",
        "exec(open('x').read())",
        "import torch\ntorch.hub.load('a', 'b')",
        "this is no Python",
    ],
)
def test_what_cannot_be_followed_is_said(site: Path, text: str) -> None:
    write(site, user_net=text)
    assert found("user_net").unseen


def test_ordinary_code_can_be_followed(site: Path) -> None:
    write(site, user_net=f"{FORWARD}    return torch.nn.Identity().eval()\n")
    known = found("user_net")
    assert not known.unseen
    assert list(known.files) == ["user_net"]
    assert "torch" in known.packages
    assert "numpy" not in known.files


def distribution(folder: Path, version: str, record: str = "") -> None:
    info = folder / "fast_blocks-1.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: fast-blocks\nVersion: {version}\nRequires-Dist: numpy>1\n"
    )
    if record:
        (info / "RECORD").write_text(record)


@pytest.mark.parametrize("place", ["site", "site-packages"])
def test_an_installed_package_goes_by_version_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder = tmp_path / place
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    write(tmp_path, user_net="import fast_blocks")
    monkeypatch.syspath_prepend(str(tmp_path))
    write(folder, fast_blocks="x = 1")
    distribution(folder, "1.0", "fast_blocks.py,sha256=a,5\n")
    first = found("user_net")
    assert first.packages["fast_blocks"].startswith("1.0 ")
    assert "numpy" in first.packages
    distribution(folder, "1.1", "fast_blocks.py,sha256=a,5\n")
    second = found("user_net")
    distribution(folder, "1.1", "fast_blocks.py,sha256=b,5\n")  # another build of this version
    third = found("user_net")
    write(folder, fast_blocks="x = 2")  # edited in its place
    fourth = found("user_net")
    assert len({one.digest for one in (first, second, third, fourth)}) == 4


def test_a_folder_on_the_path_that_takes_a_package_s_name_is_the_user_s(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PYTHONPATH comes before site-packages, and before the standard library."""
    for name in ("safetensors", "colorsys"):  # what is loaded already is what runs
        monkeypatch.delitem(sys.modules, name, raising=False)
    write(site, user_net="import safetensors, colorsys", safetensors__in____init__="x = 1")
    before = found("user_net")
    assert {"safetensors"} == set(before.files) - {"user_net"}
    assert not before.packages
    write(site, safetensors__in____init__="x = 2")
    assert found("user_net").digest != before.digest
    write(site, colorsys="x = 1")
    assert "colorsys" in found("user_net").files


def test_metadata_beside_sources_is_no_installed_package(site: Path) -> None:
    """An editable install leaves ``mine.egg-info`` beside the sources that are edited."""
    write(site, mine__in____init__="", mine__in__net="x = 1")
    (site / "mine.egg-info").mkdir()
    (site / "mine.egg-info" / "PKG-INFO").write_text("Name: mine\nVersion: 1\n")
    (site / "mine.egg-info" / "top_level.txt").write_text("mine\n")
    before = found("mine.net")
    write(site, mine__in__net="x = 2")
    assert found("mine.net").digest != before.digest


def spec(builder: str, **arguments: object) -> ModelSpec:
    axes = ("batch", 3, "height", "width")
    tensors = (TensorSpec("x", axes, ""),), (TensorSpec("y", axes, ""),)
    return ModelSpec("user_net", "", "1", *tensors, builder, builder_arguments=arguments)


def test_the_key_has_what_the_builder_is_called_with(site: Path) -> None:
    write(site, user_net="def build(*a):\n    pass\n", acts="class Act:\n    slope = 1\n")
    import importlib

    acts = importlib.import_module("acts")
    try:
        large = np.zeros(5000)
        (site / "c.yaml").write_text("depth: 2")
        given = {"act": [acts.Act], "table": large, "file": "c.yaml"}
        forget()
        made = [keys.made_by(spec("user_net:build", **given))]
        write(site, acts="class Act:\n    slope = 2\n")
        forget()
        made.append(keys.made_by(spec("user_net:build", **given)))
        large[2500] = 1.0  # its repr is the same
        made.append(keys.made_by(spec("user_net:build", **given)))
        (site / "c.yaml").write_text("depth: 3")
        made.append(keys.made_by(spec("user_net:build", **given)))
    finally:
        sys.modules.pop("acts", None)
    assert len({repr(one) for one in made}) == 4


def test_modules_that_a_build_loads_and_no_import_names_are_strangers(site: Path) -> None:
    write(site, user_net="x = 1", hidden="x = 1")
    known = found("user_net")
    import importlib

    importlib.import_module("hidden")
    try:
        names = ["hidden", "json", "numpy.linalg", "trufor_onnx.parity.inputs.cases", "user_net"]
        assert strangers(names, known) == ["hidden"]
    finally:
        sys.modules.pop("hidden", None)


SCRIPT = """
import sys
from pathlib import Path
from trufor_onnx.parity.references import closure, keys
from trufor_onnx.parity.running import journal
here = Path(closure.__file__).parents[2]
def digests():
    for cached in (closure.closure, journal.code_digest, keys.code_digest):
        cached.cache_clear()
    return journal.code_digest(), keys.code_digest()
before = digests()
for name in sys.argv[1:]:
    path = here / name
    text = path.read_bytes()
    path.write_bytes(text + b"# changed\\n")
    after = digests()
    print(name, *(a != b for a, b in zip(before, after)))
    path.write_bytes(text)
assert "torch" not in sys.modules and not closure.closure("trufor_onnx.parity.running.run").unseen
"""


def test_the_command_under_a_second_name_is_no_stranger(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python -m parity`` in a checkout; torch lets multiprocessing call it ``__mp_main__``."""
    write(site, user_net="x = 1", command="x = 1")
    module = importlib.import_module("command")
    monkeypatch.setitem(sys.modules, "__main__", module)
    monkeypatch.setitem(sys.modules, "__mp_main__", module)
    try:
        assert strangers(["__mp_main__"], found("user_net")) == []
    finally:
        del sys.modules["command"]


def test_our_own_code_is_what_decides_a_row_or_a_reference(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("trufor_onnx", "chunking", "export", "runtime", "parity"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    wanted = {  # whether it decides rows, and references
        "runtime/detector.py": (True, False),
        "runtime/tiling.py": (True, False),
        "parity/results/metrics.py": (True, True),
        "parity/results/comparison.py": (True, False),
        "parity/running/judging.py": (True, False),
        "parity/results/tolerances.toml": (True, False),
        "parity/runners/torch_runner.py": (True, True),
        "parity/inputs/cases.py": (True, True),
        "export/weights/tensors.py": (True, True),
        "parity/report/text.py": (False, False),
        "parity/gate/judge.py": (False, False),
    }
    command = [sys.executable, "-c", SCRIPT, *wanted]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told = {
        line.split()[0]: tuple(w == "True" for w in line.split()[1:])
        for line in ran.stdout.splitlines()
    }
    assert told == wanted


def test_our_own_networks_can_be_followed() -> None:
    from trufor_onnx.export.networks.registry import MIT_B2, NOISEPRINT_PP, TRUFOR, TRUFOR_HEAD

    for own in (NOISEPRINT_PP, MIT_B2, TRUFOR, TRUFOR_HEAD):
        assert keys.unkept(own) == ""
        assert own.builder.partition(":")[0] in keys.builder_closure(own).files
