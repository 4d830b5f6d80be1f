"""An incomplete download on disk: the bytes, and beside them what they are the start of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from chunking.atomic import atomic_write


@dataclass(frozen=True)
class Version:
    """Which content a part is the start of, in the server's words ("" where it says nothing)."""

    url: str
    etag: str
    last_modified: str
    total: int | None

    def validator(self) -> str:
        """The value for ``If-Range``; a weak ETag is not allowed there."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    def agrees(self, other: Version) -> bool:
        """No word of the two differs. (A partial answer may leave out ``Last-Modified``.)"""
        pairs = (
            (self.etag, other.etag),
            (self.last_modified, other.last_modified),
            (self.total, other.total),
        )
        return all(mine == theirs for mine, theirs in pairs if mine and theirs)


def version_file(part: Path) -> Path:
    """Where a part's `Version` is kept."""
    return part.with_name(part.name + ".json")


def discard(part: Path) -> None:
    """Remove a part and its version."""
    version_file(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def start_anew(part: Path, version: Version) -> None:
    """Make ``part`` absent and note the version whose first bytes will go there."""
    discard(part)
    atomic_write(version_file(part), json.dumps(asdict(version), sort_keys=True).encode())


def known_version(url: str, part: Path) -> Version | None:
    """The version that the part is a start of, or None where it cannot be continued."""
    try:
        version = Version(**json.loads(version_file(part).read_bytes()))
        have = part.stat().st_size
    except (OSError, ValueError, TypeError):  # none there, or not written by us
        return None
    too_long = version.total is not None and have > version.total
    return version if version.url == url and version.validator() and not too_long else None
