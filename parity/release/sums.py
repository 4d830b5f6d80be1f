"""Checksums as ``sha256sum -c`` reads them, and nothing more."""

from __future__ import annotations

import re
from collections.abc import Mapping

from chunking.manifest import shown
from parity.release.layout import is_safe

LARGEST = 4 << 20  # bytes
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def encode(digests: Mapping[str, str]) -> bytes:
    """A line a file, sorted by name."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode("ascii")


def parse(data: bytes, file: str) -> tuple[dict[str, str], list[str]]:
    """Digests by name, and what is wrong with ``file``; a name that is not safe is left out."""
    problems = []
    found: dict[str, str] = {}
    if len(data) > LARGEST:
        return {}, [f"{file}: larger than {LARGEST} bytes"]
    for number, line in enumerate(data.decode("ascii", "replace").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            problems.append(f"{file}: line {number} is not a digest and a name")
        elif not is_safe(match[2]):
            problems.append(f"{file}: line {number} names {shown(match[2])}, outside of the folder")
        elif match[2] in found:
            problems.append(f"{file}: {match[2]} is there twice")
        else:
            found[match[2]] = match[1]
    if not problems and encode(found) != data:
        problems.append(f"{file}: not sorted, or other line ends")
    return found, problems
