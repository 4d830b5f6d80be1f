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
    "a changed module that the network imports": Guard(
        "parity/references/closure.py",
        "        found = list(_imports(tree, package))\n",
        "        found = []\n",
        "tests/parity/references/test_closure.py",
        "changed_module_that_is_reached",
    ),
    "an installed package of another version": Guard(
        "parity/references/closure.py",
        "                self._add_package(owner)\n                if owner",
        "                if owner",
        "tests/parity/references/test_closure.py",
        "installed_package",
    ),
    "code that cannot be followed": Guard(
        "parity/references/keys.py",
        "        if unseen:\n",
        "        if False:\n",
        "tests/parity/references/test_live.py",
        "cannot_be_followed",
    ),
    "a journal of other code": Guard(
        "parity/fingerprint.py",
        '        "code": code_digest(),\n',
        "",
        "tests/parity/test_fingerprint.py",
        "code_digest",
    ),
    "a journal of another network's code": Guard(
        "parity/fingerprint.py",
        '        "networks": [made_by(spec) for spec in specs],\n',
        "",
        "tests/parity/test_fingerprint.py",
        "networks_code_counts",
    ),
    "rows of a foreign backend": Guard(
        "parity/judging.py",
        "return SOURCE_PROOF if runner is self.source else self._identity.variant",
        "return self._identity.variant if runner.backend == BACKEND else SOURCE_PROOF",
        FOOLED,
        "backend_of_another_name",
    ),
    "a runner that takes PyTorch's name": Guard(
        "parity/judging.py",
        'if runner is not self.source and runner.backend in ("", SOURCE):',
        "if False:",
        "tests/parity/test_judging.py",
        "takes_pytorch",
    ),
    "rows of no file": Guard(
        "parity/gate/rules/whole.py",
        'if row.backend not in ("", SOURCE) and (row.model, row.variant) not in files:',
        "if False:",
        "tests/parity/gate/test_rules.py",
        "call_themselves_the_source",
    ),
    "a network that changed on both sides": Guard(
        "parity/references/sketch.py",
        "        if not far <= most\n",
        "        if False\n",
        "tests/parity/gate/test_planted_regressions.py",
        "changed_on_both_sides and json",
    ),
    "a baseline on no common picture": Guard(
        "parity/gate/rules/outputs.py",
        'absent.append(f"{model}: no picture in common with the last release")',
        'held.append("")',
        "tests/parity/gate/test_rules.py",
        "nothing_can_be_held",
    ),
    "a bundle that is not the report's": Guard(
        "parity/release/assemble.py",
        "    if problems:\n",
        "    if False:\n",
        "tests/parity/release/test_references.py",
        "not_of_the_report",
    ),
    "memory without a baseline": Guard(
        "parity/gate/rules/cost.py",
        "    if unjudged and found.outcome is Outcome.PASS:\n",
        "    if False:\n",
        "tests/parity/gate/test_rules.py",
        "without_anything_to_compare_with",
    ),
    "memory of two files of one run": Guard(
        "parity/gate/rules/cost.py",
        "if peak > max(growth * before, before + slack):",
        "if False:",
        "tests/parity/gate/test_rules.py",
        "old_file_s_peak",
    ),
    "a size that no baseline has": Guard(
        "parity/gate/rules/files.py",
        "    if unjudged and found.outcome is Outcome.PASS:\n",
        "    if False:\n",
        "tests/parity/gate/test_rules.py",
        "size_that_no_baseline_has",
    ),
    "errors on images that no baseline has": Guard(
        "parity/gate/rules/numbers.py",
        "    if unjudged and found.outcome is Outcome.PASS:\n",
        "    if False:\n",
        "tests/parity/gate/test_rules.py",
        "images_that_no_baseline_has",
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
