"""The published weights: where they are, how to know them, and under which terms they come."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from chunking.hashing import BLOCK_BYTES


@dataclass(frozen=True)
class Publication:
    """A published archive and the file in it that is needed."""

    url: str
    md5: str  # of the archive, as its publisher states it; no stronger digest is published
    member: str
    max_bytes: int  # what the member may unpack to

    @property
    def archive_name(self) -> str:
        """The archive's file name, under which a copy fetched by hand is looked for."""
        return self.url.rpartition("/")[2]

    @property
    def file_name(self) -> str:
        """The file name of the unpacked member."""
        return self.member.rpartition("/")[2]


WEIGHTS = Publication(
    url="https://www.grip.unina.it/download/prog/TruFor/TruFor_weights.zip",
    md5="7bee48f3476c75616c3c5721ab256ff8",
    member="weights/trufor.pth.tar",
    max_bytes=2 << 30,
)
WEIGHTS_TERMS = (
    "The TruFor weights are by GRIP-UNINA and licensed for nonprofit, informational use only; "
    "see NOTICE. Using them means accepting those terms."
)


def md5_file(path: Path) -> str:
    """The MD5 of a file's content: a publisher's checksum, not a protection against forgers."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
