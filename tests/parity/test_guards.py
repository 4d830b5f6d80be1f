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
ACCEPTANCE, ACCEPTED = "chunking/acceptance.py", "tests/chunking/test_acceptance.py"
STAGED, HOOK = "parity/gate/staged.py", "tests/parity/gate/test_staged.py"


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
    "split of a git-lfs pointer": Guard(
        ACCEPTANCE,
        "    if cause.text and (model or (source.size and not force)):\n",
        "    if False:\n",
        ACCEPTED,
        "stands_in_a_model_s_place",
    ),
    "split of a truncated ONNX file": Guard(
        ACCEPTANCE, "    if fault:\n", "    if False:\n", ACCEPTED, "model_cut_anywhere"
    ),
    "split against the lock": Guard(
        ACCEPTANCE,
        "        elif (sha256 := digest()) != lock.sha256:\n",
        "        elif sha256 := False:\n",
        ACCEPTED,
        "lock_beside_it",
    ),
    "split over a larger file's manifest": Guard(
        ACCEPTANCE,
        "    if size < whole * LEAST_SHARE:\n",
        "    if False:\n",
        ACCEPTED,
        "manifest_of_a_larger_file",
    ),
    "merge over a different file": Guard(
        "chunking/destination.py",
        "        if _worthless(there, folder) or _recorded(there):\n",
        "        if True:\n",
        ACCEPTED,
        "no_merge_wrote",
    ),
    "merge of a pointer's pieces": Guard(
        "chunking/merging.py",
        "            check_content(content, folder.manifest.file.name, "
        "force=force or before is None)\n",
        "",
        ACCEPTED,
        "pieces_of_a_pointer",
    ),
    "pruning pieces of the lock's file": Guard(
        "chunking/pruning.py", "    if reason:\n", "    if False:\n", ACCEPTED, "not_pruned"
    ),
    "a commit without its pieces": Guard(
        STAGED,
        '            yield f"{path}: not staged, the manifest lists it" + '
        '(": git add it" if there else "")\n',
        "            yield from ()\n",
        HOOK,
        "manifest_without_its_pieces",
    ),
    "a commit that removes a piece": Guard(
        "parity/gate/index.py",
        '"--no-renames", "--no-ext-diff"]',
        '"--no-renames", "--no-ext-diff", "--diff-filter=d"]',
        HOOK,
        "piece_that_is_removed",
    ),
    "a commit with converted line ends": Guard(
        STAGED,
        "        elif self._index.size(path) != piece.size or self._index.sha256(path) != "
        "piece.sha256:\n",
        "        elif False:\n",
        HOOK,
        "line_ends_that_git_changes",
    ),
    "attributes that convert pieces": Guard(
        STAGED, "        if self._changed_by:\n", "        if False:\n", HOOK, "attributes_alone"
    ),
    "a large file of another ending": Guard(
        STAGED,
        "                problems += _large(path, index.size(path), most_bytes)\n",
        "                problems += ()\n",
        HOOK,
        "large_files_of_any_ending",
    ),
    "a flipped bit in a signature": Guard(
        "parity/release/verify.py",
        "    problems += _provenance(folder, found)\n",
        "",
        "tests/parity/release/test_verify.py",
        "only_a_checksum_can_tell",
    ),
    "a signature over another statement": Guard(
        "parity/release/signing.py",
        "    if signed != payload:\n",
        "    if False:\n",
        "tests/parity/release/test_verify.py",
        "makes_the_checksums_anew",
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
