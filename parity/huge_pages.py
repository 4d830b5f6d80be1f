"""Large arrays of PyTorch in huge pages: a float64 network touches gigabytes of fresh memory.

Every layer's output is a new block of memory. In pages of 4 KiB that was 528,000 page faults, and
1.6 s of 6.0 s of processor time, for one Noiseprint++ map at 256 x 256; in huge pages it is
37,500 and 0.3 s of 4.7 s. PyTorch reads the variable when it first allocates memory.
"""

from __future__ import annotations

import os

VARIABLE = "THP_MEM_ALLOC_ENABLE"


def use_huge_pages() -> None:
    """Ask PyTorch for them, unless the user chose. For command lines only: call before torch."""
    os.environ.setdefault(VARIABLE, "1")
