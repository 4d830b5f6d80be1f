"""Ready-made CI: what it runs exists, what it uses is pinned, it may do no more than it must."""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from trufor_onnx.parity.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")
LINTERS = Path(sys.executable).parent  # `make check` runs both over the workflows


def read(path: Path) -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    return document


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


def test_there_are_some() -> None:
    assert {path.name for path in WORKFLOWS} >= {"ci.yml", "release-gate.yml"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_each_may_only_read_and_ends_in_time(path: Path) -> None:
    document = read(path)
    assert document["permissions"] == {"contents": "read"}
    for job in document["jobs"].values():
        assert job["timeout-minutes"] <= 120
        assert "permissions" not in job


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_leave_no_token(path: Path) -> None:
    for step in steps(path):
        if "uses" in step:
            assert PINNED.fullmatch(step["uses"]), step["uses"]
            if step["uses"].startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_input_is_pasted_into_a_script(path: Path) -> None:
    """``${{ inputs.x }}`` inside of a script is a command injection; an environment is not."""
    for step in steps(path):
        assert "${{" not in step.get("run", ""), step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_make_target_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for job in read(path)["jobs"].values():
        named = set(job.get("strategy", {}).get("matrix", {}).get("target", []))
        for step in job["steps"]:
            named |= set(re.findall(r"^\s*make ([a-z-]+)", step.get("run", ""), re.M))
        assert named <= targets


def options_of(command: str) -> set[str]:
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[command][0]).add_arguments(parser)
    return {option for action in parser._actions for option in action.option_strings}


def test_the_release_gate_s_commands_and_options_exist() -> None:
    found = []
    for step in steps(ROOT / ".github" / "workflows" / "release-gate.yml"):
        script = step.get("run", "")
        for command in re.findall(r"trufor-onnx parity ([a-z-]+)", script):
            found.append(command)
            used = set(re.findall(r"(?<![\w-])--[a-z-]+", script))
            assert used <= options_of(command), command
    assert found == ["gate", "release", "release-verify"]


def test_the_hook_s_command_exists_and_sees_what_is_removed() -> None:
    (hook,) = read_hooks()
    assert hook["entry"] == "trufor-onnx parity files --staged"
    assert "--staged" in options_of("files")
    # pre-commit gives no name of a file that is removed, and starts no hook for such alone.
    assert hook["always_run"] and not hook["pass_filenames"]
    assert "files" not in hook, "large files of any ending are judged"


def lint(command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    line = [str(LINTERS / command), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_gitlab_takes_the_snippet_in_the_docs(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "gate.md").read_text("utf-8")
    (snippet,) = re.findall(r"```yaml\n(release-gate:.*?)```", text, re.S)
    (tmp_path / "gitlab.yml").write_text(snippet)
    done = lint("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", tmp_path / "gitlab.yml")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("fault", ["timeout-minute: 5", "runs-no: x"])
def test_a_misspelt_key_is_refused(fault: str, tmp_path: Path) -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    (tmp_path / "ci.yml").write_text(text.replace("timeout-minutes: 60", fault))
    done = lint(
        "check-jsonschema", "--builtin-schema", "vendor.github-workflows", tmp_path / "ci.yml"
    )
    assert done.returncode == 1
    assert fault.split(":")[0] in done.stdout


def test_a_script_with_an_input_in_it_is_refused(tmp_path: Path) -> None:
    text = (ROOT / ".github" / "workflows" / "release-gate.yml").read_text("utf-8")
    assert '"$PACKAGE"' in text
    (tmp_path / "gate.yml").write_text(text.replace('"$PACKAGE"', "${{ inputs.package }}"))
    done = lint("zizmor", "--offline", "--no-progress", tmp_path / "gate.yml")
    assert done.returncode != 0
    assert "template-injection" in done.stdout


def read_hooks() -> list[dict[str, Any]]:
    hooks: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    return hooks
