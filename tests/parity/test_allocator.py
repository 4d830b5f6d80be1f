"""Freed memory stays: seen from outside, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

COUNT = """
import resource, sys
from parity.allocator import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(3)
import torch
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(6_000_000, dtype=torch.float64)
before = faults()
for _ in range(5):
    torch.ones(6_000_000, dtype=torch.float64)
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_large_arrays_are_made_of_memory_that_is_there() -> None:
    kept, plain = (_faults(mode) for mode in ("kept", "plain"))
    assert kept < 1_000  # 48 MB are 11,700 pages
    assert plain > 10 * kept


def _faults(mode: str) -> int:
    command = [sys.executable, "-c", COUNT, mode]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip("this C library has no mallopt")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
