"""Take each guard out of a copy of the code: the test of that way to be fooled must then fail.

A test that passes without its guard proves nothing. (Where another check stands behind a guard, as
the distance behind NaN, what fails is the reason that the user is given.)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("chunking", "export", "parity", "runtime", "tests", "sample_dataset", "pyproject.toml")
FAILED = 1  # pytest's exit code where tests ran and failed

COMPARE, CHANGED = "parity/compare.py", "tests/parity/test_changed_outputs.py"
UNIT = "tests/parity/test_compare.py"
FOOLED = "tests/parity/test_ways_to_be_fooled.py"


@dataclass(frozen=True)
class Guard:
    """The line that finds a wrong result, what is left without it, and the test of it."""

    file: str
    line: str
    without: str
    test: str
    only: str


FINITE = Guard(COMPARE, "    if bad:\n", "    if False:\n", CHANGED, "changed_output and NaN")
SHAPE = Guard(
    COMPARE,
    "if candidate.shape != reference.shape:",
    "if False:",
    CHANGED,
    "transposed",
)
NAMES = Guard(
    COMPARE,
    "    return problems\n",
    "    return {}\n",
    CHANGED,
    "missing_output_of_several",
)
GUARDS = {
    "NaN in an output": FINITE,
    "an infinite value": replace(FINITE, only="changed_output and minus"),
    "a missing output": NAMES,
    "a renamed output": replace(NAMES, only="renamed"),
    "a transposed output": SHAPE,
    "broadcastable shapes": replace(SHAPE, test=UNIT, only="another_shape"),
    "other values": Guard(
        COMPARE, "if not value <= limit:", "if False:", UNIT, "tolerance_that_is_nan"
    ),
    "zero images": Guard("parity/image_sets.py", "if not found:", "if False:", FOOLED, "no_images"),
    "an all-skipped run": Guard(
        "parity/results.py",
        "return Status.PASS if Status.PASS in found else Status.NOT_RUN",
        "return Status.PASS",
        FOOLED,
        "every_candidate_was_skipped",
    ),
    "silent provider fallback": Guard(
        "parity/runners/providers.py",
        "if ran != provider.execution_provider:",
        "if False:",
        FOOLED,
        "falls_back_in_silence",
    ),
    "an ONNX file of other weights": Guard(
        "parity/identity.py",
        "reason = _refutation(file, digests, lock, spec, weights)",
        'reason = ""',
        FOOLED,
        "other_weights",
    ),
    "a corrupt cache entry": Guard(
        "parity/references/container.py",
        "if sha256(raw).hexdigest() != stored.sha256:",
        "if False:",
        "tests/parity/references",
        "corrupt_entry or changed_byte",
    ),
    "a different environment's baseline": Guard(
        "parity/gate/changes.py",
        "if ours.get(key) != theirs.get(key)",
        "if False",
        "tests/parity/gate/test_planted_regressions.py",
        "baseline_of_another_machine",
    ),
    "a BatchNorm folded under the old name": Guard(
        "parity/locate/origins.py",
        "            origins.add(weight, (name, *norm.scaling), SCALED)\n",
        "            continue\n",
        "tests/parity/locate/test_right_files.py",
        "old_name_is_no_fault",
    ),
    "a difference before the first layer": Guard(
        "parity/locate/forcing.py",
        "        if expected is None or expected[0] in self._untied:\n",
        "        if True:\n",
        "tests/parity/locate/test_right_files.py",
        "first_layer_is_the_inputs and BGR",
    ),
    "one weight that is 0.1 % off": Guard(
        "parity/locate/differences.py",
        "        if 0 < wrong.sum() <= FEW * wrong.size:\n",
        "        if False:\n",
        "tests/parity/locate/test_right_files.py",
        "one_weight_that_no_output_shows",
    ),
    "one epsilon that no output shows": Guard(
        "parity/locate/differences.py",
        "        if not any(abs(eps - one) <= EPS_AGREES * one for",
        "        if False and not any(abs(eps - one) <= EPS_AGREES * one for",
        "tests/parity/locate/test_right_files.py",
        "epsilon_that_no_output_shows",
    ),
    "a layer of another network in the gate": Guard(
        "parity/gate/rules/located.py",
        "        elif one.first:\n",
        "        elif False:\n",
        "tests/parity/gate/test_located.py",
        "stops_the_gate",
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "*.onnx")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)
        else:
            shutil.copy(ROOT / part, folder / part)
    return folder


def run(folder: Path, guard: Guard) -> subprocess.CompletedProcess[str]:
    options = ["-q", "-p", "no:cacheprovider", "-m", "not slow", "-k", guard.only]
    command = [sys.executable, "-m", "pytest", guard.test, *options]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("what", GUARDS)
def test_without_the_guard_its_test_fails(what: str, copy: Path) -> None:
    guard = GUARDS[what]
    whole = run(copy, guard)
    assert whole.returncode == 0, whole.stdout
    path = copy / guard.file
    code = path.read_text("utf-8")
    assert code.count(guard.line) == 1, f"{guard.file}: no such guard, or several"
    path.write_text(code.replace(guard.line, guard.without), "utf-8")
    try:
        assert run(copy, guard).returncode == FAILED
    finally:
        path.write_text(code, "utf-8")
