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
LIMITS, SUMMARY = "tests/parity/test_limits.py", "tests/parity/test_summary.py"


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
    "limits of outputs of any size": Guard(
        "parity/limits.py",
        "getattr(tolerance, name) * times * scale.spread,",
        "getattr(tolerance, name) * times,",
        LIMITS,
        "small_outputs",
    ),
    "a constant output": Guard(
        "parity/limits.py",
        "if found.low == found.high and given.high - given.low > slack(row, source, tolerance):",
        "if False:",
        LIMITS,
        "constant_is_named",
    ),
    "a reference that never varies": Guard(
        "parity/limits.py", "if not scale.varies and (", "if False and (", LIMITS, "one_value"
    ),
    "an error of float32 as large as the outputs' spread": Guard(
        "parity/limits.py",
        "if not row.mae <= max(MOST_OF_SPREAD, tolerance.mae) * scale.spread:",
        "if False:",
        LIMITS,
        "no_more_than_the_spread",
    ),
    "a row without its values": Guard(
        "parity/limits.py",
        "if scale is None or row.reference is None or row.found is None:",
        "if False:",
        LIMITS,
        "without_its_figures",
    ),
    "rounding that no witness showed": Guard(
        "parity/limits.py",
        "all(one.clears(tolerance) for one in computed)",
        "True",
        LIMITS,
        "right_in_float64",
    ),
    "an ignored input": Guard(
        "parity/summary.py", "    if same:\n", "    if False:\n", SUMMARY, "one_answer"
    ),
    "a ratio under the floor": Guard(
        "parity/summary.py",
        "return min(tolerance.noise_floor, MOST_OF_SIZE * size)",
        "return tolerance.noise_floor",
        SUMMARY,
        "floor_hides_no_ratio",
    ),
    "a bias": Guard(
        "parity/summary.py",
        'return bias if len(maes) >= FEW else ""',
        'return ""',
        SUMMARY,
        "bias_under_the_floor",
    ),
    "a random operator": Guard(
        "parity/bench.py",
        "entrant.random = randomness(entrant.candidate.path)",
        "pass",
        "tests/parity/test_steadiness.py",
        # One whose noise no limit sees; such files can end the whole process where they are run.
        "random_candidate",
    ),
    "a candidate that differs from itself": Guard(
        "parity/bench.py",
        "entrant.unsteady[runner.provider] = problem",
        "pass",
        "tests/parity/test_bench.py",
        "otherwise_the_second_time",
    ),
    "a reference coarser than float32": Guard(
        "parity/reference.py",
        "    if less:\n",
        "    if False:\n",
        "tests/parity/test_reference.py",
        "computes_in_float16",
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
