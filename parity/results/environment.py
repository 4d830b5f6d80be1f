"""What a report must say of the machine it was made on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from trufor_onnx.sessions import ABSENT, ONNXRUNTIME, onnxruntime_wheel, package_version

PACKAGES = ("trufor-onnx", "torch", "onnxruntime", "onnxruntime-gpu", "onnx", "numpy", "pillow")
VARIABLE = "THP_MEM_ALLOC_ENABLE"


def environment(*, threads: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Versions, machine and settings; no host name, no user, no path, no time.

    Args:
        threads: the number asked for (0: the backend's own choice).
        settings: what else decides the figures.
    """
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "logical_processors": os.cpu_count() or 0,
        "threads": threads,
        "packages": _packages(),
        **settings,
    }


def _packages() -> dict[str, str]:
    """Versions by package; of ONNX Runtime's wheels only that which provides the module."""
    wheel, installed = onnxruntime_wheel()
    found = {name: package_version(name) for name in PACKAGES}
    found |= dict.fromkeys((name for name in found if name.startswith(ONNXRUNTIME)), ABSENT)
    return found | {wheel: installed}


def processor() -> str:
    """The processor's name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def use_huge_pages() -> None:
    """Ask PyTorch for them, unless the user chose. For command lines only: call before torch."""
    os.environ.setdefault(VARIABLE, "1")
