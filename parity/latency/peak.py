"""The peak memory of this process."""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """The largest resident set that this process has had, in bytes.

    Linux's ``VmHWM`` counts from the program's start. ``ru_maxrss`` begins with what the parent
    had when it started this one, and serves only where there is no ``/proc``.
    """
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    found = [line.split() for line in lines if line.startswith("VmHWM:")]
    if found:
        return int(found[0][1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
