"""What decides how float32 rounds on this machine, found out without torch.

PyTorch float32 depends on the kernels that oneDNN and ATen choose by the processor's instructions,
and on how many threads share a sum. A stored float32 output is used where all of this is equal.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from parity.environment import processor

INSTRUCTIONS = ("fma", "avx", "amx", "asimd", "sve", "vsx")  # how the names of such flags begin
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
)


def machine(*, threads: int) -> dict[str, Any]:
    """Processor, instructions, threads and the variables that choose kernels.

    Args:
        threads: threads of an operator; 0 leaves torch's choice, which follows the processors.
    """
    return {
        "processor": processor(),
        "instructions": list(_instructions()),
        "threads": threads,
        "processors": _processors(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _instructions() -> tuple[str, ...]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    flags = lines[0].partition(":")[2].split() if lines else []
    return tuple(sorted(flag for flag in flags if flag.startswith(INSTRUCTIONS)))
