"""Large arrays take few page faults: counted in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trufor_onnx.parity.results.environment import VARIABLE, use_huge_pages

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
COUNT = """
import resource, sys
from trufor_onnx.parity.results.environment import use_huge_pages
if sys.argv[1] == "huge":
    use_huge_pages()
import torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(6_000_000, dtype=torch.float64)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    not SETTING.is_file() or "[madvise]" not in SETTING.read_text(),
    reason="this system gives huge pages always or never",
)
def test_large_arrays_take_few_page_faults() -> None:
    huge, plain = (_faults(mode) for mode in ("huge", "plain"))
    assert plain > 50_000  # 240 MB in pages of 4 KiB are 58,600
    assert huge < plain / 2  # fewer where memory is in pieces


def _faults(mode: str) -> int:
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    command = [sys.executable, "-c", COUNT, mode]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return int(done.stdout)


def test_the_user_s_choice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0")
    use_huge_pages()
    assert os.environ[VARIABLE] == "0"
    monkeypatch.delenv(VARIABLE)
    use_huge_pages()
    assert os.environ[VARIABLE] == "1"
