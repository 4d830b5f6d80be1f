"""The container's file: what it must not hold, and that what it copies is enough."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Instruction and arguments, continued lines joined, comments left out."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = []
    for line in joined.splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            found.append((name.upper(), rest.strip()))
    return found


def all_of(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def copied() -> list[str]:
    """The files and folders of the repository that are copied into it."""
    return [
        source
        for rest in all_of("COPY")
        if not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]


def test_the_linter_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.is_file():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_bases_are_pinned_and_slim() -> None:
    named = {match for rest in all_of("FROM") for match in re.findall(r"AS (\w+)", rest)}
    (base,) = [rest for rest in all_of("ARG") if rest.startswith("BASE=")]
    assert re.fullmatch(r"BASE=python:3\.\d+-slim-\w+", base)
    for rest in all_of("FROM"):
        assert rest.split()[0] in {"${BASE}", *named}


def test_it_runs_as_nobody_in_particular() -> None:
    (user,) = all_of("USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    order = [name for name, _ in instructions()]
    assert order.index("USER") < order.index("ENTRYPOINT")
    after = order[order.index("USER") :]
    assert "RUN" not in after


def test_no_torch() -> None:
    text = " ".join(rest for _, rest in instructions())
    assert "torch" not in text
    extras = re.findall(r"\.\[([^\]]+)\]", text)
    assert extras
    for names in extras:
        assert not {"dev", "export", "timm"} & set(names.split(","))


def test_it_says_whether_it_is_well() -> None:
    (check,) = all_of("HEALTHCHECK")
    command = json.loads(check[check.index("[") :])
    compile(command[-1], "healthcheck", "exec")
    assert command[:2] == ["python", "-c"]


def test_its_commands_exist() -> None:
    from trufor_onnx.__main__ import COMMANDS

    (entry,) = all_of("ENTRYPOINT")
    (command,) = all_of("CMD")
    assert json.loads(entry) == ["trufor-onnx"]
    assert json.loads(command)[0] in COMMANDS


def test_what_is_copied_is_there_and_not_ignored() -> None:
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert patterns[0] == "*"  # nothing but what is named: no weights, no .git, no images
    kept = {line[1:] for line in patterns if line.startswith("!")}
    assert kept == set(copied())
    for source in kept:
        assert (ROOT / source).exists()
    dropped = [line for line in patterns[1:] if not line.startswith("!")]
    assert not any(fnmatch("onnx_models/trufor_head.onnx", line) for line in dropped)
    assert any(fnmatch("onnx_models/mit_b2.onnx", line) for line in dropped)


@pytest.mark.slow
def test_what_is_copied_is_enough(tmp_path: Path, tiny_models: Path, photos: Path) -> None:
    """Its steps in a fresh environment: no builder is needed, and torch is nowhere."""
    source = tmp_path / "src"
    source.mkdir()
    for name in copied():
        if name == "onnx_models":
            continue
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name)
        else:
            shutil.copy(ROOT / name, source)
    venv.create(tmp_path / "trufor", with_pip=True)
    binaries = tmp_path / "trufor" / "bin"
    (install,) = [rest for rest in all_of("RUN") if "pip install -c" in rest]
    words = install.split("&&")[0].replace('"', "").replace("${EXTRA}", "cpu").split()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [binaries / "pip", *words[1:]],
        cwd=source,
        env={**environment, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and "No matching distribution" in done.stderr + done.stdout:
        pytest.skip("the package registry is not there")
    assert done.returncode == 0, done.stderr[-2000:]
    listed = subprocess.run(
        [binaries / "pip", "list", "--format", "freeze"], capture_output=True, text=True, check=True
    ).stdout.lower()
    names = {line.partition("==")[0] for line in listed.splitlines()}
    assert "onnxruntime" in names
    assert not names & {"torch", "onnx", "onnx-ir", "timm", "scipy", "pytest"}
    command = ["analyze", str(photos), "--out", "out", "--onnx-models", str(tiny_models)]
    ran = subprocess.run(
        [binaries / "trufor-onnx", *command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "3 analysed" in ran.stdout
    for name, help_of in (("serve", "--port"), ("merge", "DIR")):
        printed = subprocess.run(
            [binaries / "trufor-onnx", name, "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert help_of in printed
