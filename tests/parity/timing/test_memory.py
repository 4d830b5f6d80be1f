"""Peak memory: of this process, and of a contestant in a fresh one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from trufor_onnx.parity.results.timing import TimingOutcome
from trufor_onnx.parity.timing import worker as peak
from trufor_onnx.parity.timing.contest import measure_memory
from trufor_onnx.parity.timing.worker import peak_bytes

GROW = """
from trufor_onnx.parity.timing.worker import peak_bytes
before = peak_bytes()
block = bytearray(64 << 20)
block[::4096] = b"x" * len(block[::4096])
del block
print(before, peak_bytes())
"""


def test_the_peak_stays_when_the_memory_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", GROW], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 60 << 20 < after - before < 80 << 20


def test_a_small_child_of_a_large_parent_is_small() -> None:
    """What ``ru_maxrss`` gets wrong: it would begin with this process's own size."""
    block = bytearray(256 << 20)
    block[::4096] = b"x" * len(block[::4096])
    done = subprocess.run([sys.executable, "-c", GROW], capture_output=True, text=True, check=True)
    assert psutil.Process().memory_info().rss > 256 << 20
    assert int(done.stdout.split()[1]) < 200 << 20


def test_without_proc_the_resource_module_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exact = peak_bytes()
    monkeypatch.setattr(peak, "_STATUS", tmp_path / "none")
    assert exact * 0.9 < peak_bytes()
    (tmp_path / "none").write_text("Name: x\n")
    assert exact * 0.9 < peak_bytes()


def test_a_contestant_s_memory_and_what_prevents_it(task: Any, contestant: Any) -> None:
    found = measure_memory(contestant(), task(), (8, 8))
    assert found.outcome is TimingOutcome.MEASURED
    assert found.added_bytes is not None and found.added_bytes > 0
    assert found.baseline_bytes is not None and found.baseline_bytes > 10e6
    bad = measure_memory(contestant(), task("Log"), (8, 8))
    assert (bad.outcome, bad.peak_bytes) == (TimingOutcome.ERROR, None)
    assert "not finite" in bad.reason
    for required, outcome in ((True, TimingOutcome.ERROR), (False, TimingOutcome.NOT_RUN)):
        given = task(provider="cuda", required=required)
        assert measure_memory(contestant(provider="cuda"), given, (8, 8)).outcome is outcome
