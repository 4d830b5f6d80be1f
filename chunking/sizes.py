"""Sizes in bytes, as people write and read them."""

from __future__ import annotations

import re

from chunking.errors import ChunkingError

_UNITS = {"": 1, "B": 1}
_UNITS |= {prefix + "iB": 1 << (10 * power) for power, prefix in enumerate("KMGT", 1)}
_UNITS |= {prefix + "B": 1000**power for power, prefix in enumerate("KMGT", 1)}
_BY_LOWER_CASE = {unit.lower(): factor for unit, factor in _UNITS.items()}


def parse_size(text: str) -> int:
    """Bytes from text such as ``24MiB``, ``1.5 GiB``, ``45MB`` (10^6) or ``4096``.

    Raises:
        ChunkingError: the text is no size, or not a whole number of bytes above zero.
    """
    match = re.fullmatch(r"\s*([0-9]{1,15})(?:\.([0-9]{1,9}))?\s*([A-Za-z]*)\s*", text)
    factor = _BY_LOWER_CASE.get(match[3].lower()) if match else None
    if match is None or factor is None:
        raise ChunkingError(
            f"{text!r} is not a size", hint="write a number and a unit, as in 24MiB or 45MB"
        )
    decimals = match[2] or ""
    scale: int = 10 ** len(decimals)
    size, rest = divmod(int(match[1] + decimals) * factor, scale)
    if rest or size < 1:
        raise ChunkingError(
            f"{text!r} is not a whole number of bytes above zero",
            hint="write a number and a unit, as in 24MiB or 45MB",
        )
    return size


def format_size(size: int) -> str:
    """Bytes as text with one decimal: ``0 B``, ``1023 B``, ``24.0 MiB``."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable: TiB ends the loop")
