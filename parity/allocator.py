"""Memory that was freed stays with the process, for the large arrays of float64 networks.

glibc maps every block above 32 MiB anew and gives it back when it is freed, so that each layer of
a float64 network touches fresh pages: at 256 x 256 that was 528,000 page faults and a quarter of
the processor time of a Noiseprint++ run (1.6 s of 6.4 s; 0.05 s with this).
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # mallopt's names, <malloc.h>
_KEPT_BYTES = 1 << 30  # what is free above this at the end of the heap still goes back


def keep_freed_memory() -> bool:
    """Ask glibc to keep freed blocks. For command lines only: it changes the whole process.

    Returns:
        Whether the C library took it; another one is left as it is.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
