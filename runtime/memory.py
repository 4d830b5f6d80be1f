"""Is there memory for an image of this size? Asked before the network runs.

Without the question a laptop swaps for minutes and the process is killed without a word.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from runtime.errors import OutOfMemoryError
from runtime.model_files import FUSED

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
GIB = 1 << 30

# Peak bytes of the detector's run beside its weights, as measured (docs/runtime.md): so many a
# pixel, and so many a squared pixel where the graph writes its attention out. There the first
# stage has a token a 4 x 4 pixels and a key a 32 x 32, in float32, scores and softmax.
PER_PIXEL = {FUSED: 450.0}
PER_PIXEL_OTHER = 2200.0
PER_SQUARE = {FUSED: 0.0}
PER_SQUARE_OTHER = 2 * 4 / (16 * 1024)


def estimate(height: int, width: int, variant: str) -> int:
    """Bytes that the detector's run is expected to need at its peak, beside its weights.

    Args:
        height: in pixels.
        width: in pixels.
        variant: of the detector's file.
    """
    pixels = float(height * width)
    square = PER_SQUARE.get(variant, PER_SQUARE_OTHER)
    linear = PER_PIXEL.get(variant, PER_PIXEL_OTHER)
    return int(linear * pixels + square * pixels * pixels)


def require_memory(height: int, width: int, variant: str, limit: int | None) -> None:
    """Refuse an image that does not fit.

    Args:
        height: in pixels.
        width: in pixels.
        variant: of the detector's file.
        limit: bytes that may be used, or None for what the system says is free.

    Raises:
        OutOfMemoryError: with both numbers.
    """
    have = available() if limit is None else limit
    need = estimate(height, width, variant)
    if have is None or need <= have:
        return
    better = (
        f"the `{FUSED}` variant needs {estimate(height, width, FUSED) / GIB:.1f} GiB: "
        f"python -m export trufor_head --variant {FUSED}"
        if variant != FUSED
        else "close other programs, or cut the image (never resize it)"
    )
    raise OutOfMemoryError(
        f"{width} x {height} pixels need about {need / GIB:.1f} GiB with the {variant} file; "
        f"{have / GIB:.1f} GiB are free",
        hint=better,
    )


def available() -> int | None:
    """Bytes that this process may still get, or None where the system does not say."""
    found = [size for size in (_free_in_system(), _free_in_container()) if size is not None]
    return min(found, default=None)


def _free_in_system() -> int | None:
    with suppress(OSError, ValueError, StopIteration):
        lines = MEMINFO.read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    return None


def _free_in_container() -> int | None:
    """Of a control group (version 2) with a limit; droppable page cache counts as free."""
    with suppress(OSError, ValueError):
        limit = int((CGROUP / "memory.max").read_text())  # "max" is no number: no limit
        used = int((CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return limit - used + int(stat.get("inactive_file", 0))
    return None
