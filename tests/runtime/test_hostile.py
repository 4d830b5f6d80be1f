"""Two hundred damaged or hostile files: each a typed error, soon, in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.hostile import write_all

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
MOST_SECONDS = 5.0
MOST_BYTES = 1 << 30

# Analyses every file in one process and says of each what happened and how long it took; the
# peak of its memory at the end.
PROGRAM = """
import json, sys, time
from trufor_onnx.runtime import AnalysisError, Detector
found = []
with Detector(sys.argv[1], threads=1) as detector:
    for path in json.load(sys.stdin):
        start = time.perf_counter()
        try:
            detector.analyze(path)
            outcome = "analysed"
        except AnalysisError as error:
            outcome = "refused" if error.hint and error.problem else "no hint"
        found.append([path, outcome, time.perf_counter() - start])
status = open("/proc/self/status").read().splitlines()  # ru_maxrss would be the parent's too
peak = int(next(line for line in status if line.startswith("VmHWM:")).split()[1]) * 1024
json.dump({"found": found, "peak": peak}, sys.stdout)
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("hostile")
    paths = write_all(folder)
    assert len(paths) >= 200
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tiny_models)],
        input=json.dumps([str(path) for path in paths]),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert len(found["found"]) == len(paths)
    return found


def test_each_is_refused_with_a_reason_and_a_hint(report: dict[str, Any]) -> None:
    assert [
        (Path(path).name, outcome) for path, outcome, _ in report["found"] if outcome != "refused"
    ] == []


def test_each_is_refused_soon(report: dict[str, Any]) -> None:
    """They take milliseconds."""
    late = [(Path(path).name, took) for path, _, took in report["found"] if took > MOST_SECONDS]
    assert late == []


def test_in_little_memory(report: dict[str, Any]) -> None:
    assert report["peak"] < MOST_BYTES
