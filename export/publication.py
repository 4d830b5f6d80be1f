"""The published weights: where they are, how to know them, and under which terms they come."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
PUBLISHER = "GRIP-UNINA"
# Digests of published files. That of trufor.pth.tar is not published, only its archive's MD5: a
# receipt of `python -m export weights` says which file came out of that archive.
PUBLISHED = {
    "51c153596efecdfc9bdff1b961d63855b943e6a8fd37083cc7499e60b36dd8bf": "noiseprint++.th",
}
BY_DIGEST, BY_RECEIPT = "its SHA-256", "the receipt of the published archive"
LARGEST_RECEIPT = 1 << 16  # bytes


def publication_of(path: Path | None, sha256: str) -> dict[str, str] | None:
    """Who published a checkpoint, and how that is known; None where it is not.

    A name proves nothing: a file called ``trufor.pth.tar`` may hold anything.

    Args:
        path: the checkpoint, beside which a receipt may lie; None where it is not at hand.
        sha256: its digest.
    """
    if sha256 in PUBLISHED:
        return {"by": PUBLISHER, "known_by": BY_DIGEST}
    receipt = read_receipt(path) if path is not None and sha256 else {}
    if receipt.get("archive_md5") == WEIGHTS.md5 and receipt.get("sha256") == sha256:
        return {"by": PUBLISHER, "known_by": BY_RECEIPT}
    return None


def receipt_path(path: Path) -> Path:
    """Where `export.download` writes down what it unpacked."""
    return path.with_name(path.name + ".receipt.json")


def read_receipt(path: Path) -> dict[str, Any]:
    """The receipt beside a file; {} where there is none."""
    place = receipt_path(path)
    try:
        if place.stat().st_size > LARGEST_RECEIPT:
            return {}
        document = json.loads(place.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def md5_file(path: Path) -> str:
    """The MD5 of a file's content: a publisher's checksum, not a protection against forgers."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
