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
PROVING, PROVED = "parity/proving.py", "tests/parity/test_proving.py"
ORIGIN, RULES = "parity/gate/rules/origin.py", "tests/parity/gate/test_rules.py"
BESIDE, DATA = "export/external_data.py", "tests/export/test_external_data.py"


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
    "a forged lock of a scaled or changed folded weight": Guard(
        PROVING, "    if wrong:\n", "    if False:\n", PROVED, "changed_derived_weight"
    ),
    "a forged lock of weights of another shape": Guard(
        PROVING,
        "return found[name] == rebuilt.initializers[name]",
        "return found[name].sha256 == rebuilt.initializers[name].sha256",
        PROVED,
        "another_shape",
    ),
    "a forged lock of a branch of Constant nodes": Guard(
        PROVING,
        "if not unknown and contents.graph == rebuilt.graph:",
        "if not unknown:",
        PROVED,
        "with_constant_branch",
    ),
    "a forged lock of a file without initializers": Guard(
        PROVING,
        "return sorted([*wrong, *apart]), []",
        "return wrong, []",
        PROVED,
        "another_graph and without_initializers",
    ),
    "a lock with nothing to derive the file from": Guard(
        "parity/identity.py",
        "return Derived(AS_LOCKED, reason=NOTHING_AT_HAND)",
        "return Derived(PROVEN)",
        PROVED,
        "without_anything",
    ),
    "a lock that the gate believes unasked": Guard(
        ORIGIN, "if proof != PROVEN and not trusted:", "if False:", RULES, "a_lock_alone"
    ),
    "tensors that look untrained": Guard(
        "export/weights.py",
        "return replace(weights, look_untrained=fresh)",
        "return weights",
        "tests/export/test_untrained.py",
        "only_checkpoints",
    ),
    "tensors that look untrained in the gate": Guard(
        ORIGIN, "        if fresh:\n", "        if False:\n", RULES, "look_untrained"
    ),
    "an origin by name": Guard(
        "export/publication.py",
        "if sha256 in PUBLISHED:",
        "if True:",
        "tests/export/test_publication.py",
        "a_name_is_no_origin",
    ),
    "an origin of a file that is not proven": Guard(
        "parity/release/licence.py",
        'if subject.said("proof") != PROVEN or below(weights, "kind") != "checkpoint":',
        "if False:",
        "tests/parity/release/test_assemble.py",
        "nobody_s",
    ),
    "other tensors in the file beside a model": Guard(
        BESIDE, "return same and beside(ours) == beside(theirs)", "return same", DATA, "covers_both"
    ),
    "tensors from outside of the folder": Guard(
        BESIDE, "if not is_plain(location):", "if False:", DATA, "plain_name"
    ),
    "tensors through a link out of the folder": Guard(
        BESIDE,
        "if data.resolve().parent != path.parent.resolve():",
        "if False:",
        DATA,
        "a_link_out",
    ),
    "tensors beyond the end of their file": Guard(
        BESIDE, "if place.offset + (place.length or 0) > size:", "if False:", DATA, "beyond_the_end"
    ),
    "a file beside the model that was not measured": Guard(
        ORIGIN, "yield from _beside(subject, path)", "return", RULES, "a_file_beside_the_model"
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
