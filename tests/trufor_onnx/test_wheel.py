"""The wheel in an environment of its own, in folders that hold files of our folders' names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("chunking", "export", "parity", "runtime")
HOSTILE = ("export.py", "parity.py", "runtime/__init__.py", "chunking.py")


def test_every_package_is_listed() -> None:
    """A folder that `packages` forgets would be missing from the wheel alone."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    there = {"trufor_onnx"}
    for folder in FOLDERS:
        for init in (ROOT / folder).rglob("__init__.py"):
            there.add(".".join(("trufor_onnx", *init.parent.relative_to(ROOT).parts)))
    assert set(listed["packages"]) == there


def test_the_folders_names_are_not_ours_alone(tmp_path: Path) -> None:
    """In a folder with an `export.py`, the checkout on the path works all the same."""
    for name in HOSTILE:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise RuntimeError('not yours')\n")
    code = "import trufor_onnx.parity.cli, trufor_onnx.export.cli, trufor_onnx.runtime.cli"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of an environment in which the wheel is; what it needs is borrowed from ours."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"  # without what earlier builds left: setuptools would pack it too
    ignored = shutil.ignore_patterns("build", ".*", "*.egg-info", "tests", "onnx_models", "reports")
    shutil.copytree(ROOT, tree, ignore=ignored)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    subprocess.run([*build, str(tree)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"trufor_onnx"}
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    purelib = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    ).strip()
    target = ["--no-deps", "--quiet", "--target", purelib, str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "install", *target], check=True)
    return python


def run(
    python: Path, cwd: Path, *words: str, code: int = 0, **more: str
) -> subprocess.CompletedProcess[str]:
    """A command in the wheel's environment; libraries come from ours, but not our checkout."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "TRUFOR_WEIGHTS")}
    environment["PYTHONPATH"] = sysconfig.get_path("purelib")  # its .pth files are not read there
    ran = subprocess.run(
        [python, *words],
        cwd=cwd,
        env=environment | more,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    assert "Traceback" not in ran.stderr
    return ran


@pytest.mark.slow
@pytest.mark.parametrize("hostile", [False, True], ids=["empty folder", "files of our names"])
def test_commands_of_the_readme(installed: Path, tmp_path: Path, hostile: bool) -> None:
    if hostile:
        for name in HOSTILE:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("raise RuntimeError('not yours')\n")
    where = "import trufor_onnx.parity.cli as m; print(m.__file__)"
    assert str(ROOT) not in run(installed, tmp_path, "-c", where).stdout
    main = ("-m", "trufor_onnx")
    for words in (
        ("--help",),
        ("export", "list"),
        ("export", "noiseprint_pp", "--stand-in", "golden", "--out", "models"),
        ("chunking", "split", "models"),
        ("verify", "models/noiseprint_pp.chunks"),
        ("parity", "run", "--help"),
        ("parity", "gate", "--help"),
        ("runtime", "--help"),
        ("serve", "--help"),
    ):
        run(installed, tmp_path, *main, *words)
    images = str(ROOT / "sample_dataset" / "real")
    options = ("--stand-in", "golden", "--onnx-models", "models", "--max-images", "1")
    run(
        installed,
        tmp_path,
        *("-m", "trufor_onnx.parity", "run", "--models", "noiseprint_pp", *options),
        *("--images", images, "--no-shapes", "--out", "report"),
    )
    assert (tmp_path / "report" / "parity.html").is_file()
