"""The published weights: fetched from their publisher, proven to be that file, unpacked.

What ends up in the folder is ``trufor.pth.tar`` and a receipt with its SHA-256, by which the next
run sees without the network that the right file is there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trufor_onnx.chunking.folders import folder_lock
from trufor_onnx.documents import parse_json
from trufor_onnx.errors import ExportError
from trufor_onnx.export.weights import archive
from trufor_onnx.export.weights.transfer import (
    Arrived,
    Progress,
    TransferError,
    discard,
    silent,
    transfer,
)
from trufor_onnx.files import atomic_write, explained, fsync_folder, sha256_file

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

log = logging.getLogger(__name__)


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
    """Where `export.weights.download` writes down what it unpacked."""
    return path.with_name(path.name + ".receipt.json")


def read_receipt(path: Path) -> dict[str, Any]:
    """The receipt beside a file; {} where there is none."""
    place = receipt_path(path)
    try:
        if place.stat().st_size > LARGEST_RECEIPT:
            return {}
        document = parse_json(place.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def md5_file(path: Path) -> str:
    """The MD5 of a file's content: a publisher's checksum, not a protection against forgers."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, partial(hashlib.md5, usedforsecurity=False))
    return digest.hexdigest()


class DownloadError(ExportError):
    """The weights could not be fetched, or what came is not the published file."""


@dataclass(frozen=True)
class FetchedWeights:
    """Where the weights are and how they came there."""

    path: Path
    sha256: str
    fetched_bytes: int  # over the network, in this call
    already_there: bool

    def describe(self) -> str:
        """One line for a person."""
        if self.already_there:
            return f"{self.path}: already there and right, nothing downloaded"
        return f"{self.path}: ready, sha256 {self.sha256} ({self.fetched_bytes:,} bytes fetched)"


def fetch_weights(
    out: Path,
    *,
    url: str | Sequence[str] | None = None,
    publication: Publication = WEIGHTS,
    progress: Progress = silent,
    sleep: Callable[[float], None] = time.sleep,
) -> FetchedWeights:
    """Put the published weights into the folder ``out``.

    An archive that lies in ``out`` under its published name (fetched by hand) is used instead of
    the network. Whatever the source, the archive must have the published digest.

    Args:
        out: the folder; it is made if need be.
        url: mirrors to try in this order instead of the publisher's address.
        publication: what to fetch; its digest holds for mirrors too.
        progress: told the bytes so far and in all.
        sleep: waits between tries.

    Raises:
        DownloadError: no source gave the published archive, or a file of unknown origin is in the
            way. An incomplete download is kept and continued next time.
        ArchiveError: the archive cannot be unpacked.
        StorageError: another run is at it, or the file system refused.
    """
    urls = [url] if isinstance(url, str) else list(url or [publication.url])
    target = out / publication.file_name
    with explained("write to", out):
        out.mkdir(parents=True, exist_ok=True)
    with explained("write to", out), folder_lock(out, exclusive=True):
        sha256 = _verified(target)
        if sha256 is not None:
            return FetchedWeights(target, sha256, 0, already_there=True)
        by_hand = out / publication.archive_name
        if by_hand.exists():
            found = md5_file(by_hand)
            if found != publication.md5:
                raise _wrong_digest(str(by_hand), found, publication, "delete it and run again")
            return FetchedWeights(target, _unpack(by_hand, target, publication), 0, False)
        part = out / f"{publication.archive_name}.part"
        fetched = _fetch_any(urls, part, publication, progress, sleep)
        sha256 = _unpack(part, target, publication)
        discard(part)
        return FetchedWeights(target, sha256, fetched, already_there=False)


def _fetch_any(
    urls: Sequence[str],
    part: Path,
    publication: Publication,
    progress: Progress,
    sleep: Callable[[float], None],
) -> int:
    """Bring the part to the published archive from the first URL that has it."""
    problems, hint = [], "give one with --url"
    for url in urls:
        try:
            arrived, found = _fetch(url, part, publication, progress, sleep)
        except TransferError as error:
            problems.append(error.problem)
            hint = error.hint
            continue
        if found == publication.md5:
            return arrived.fetched
        kind = f" ({arrived.content_type})" if arrived.content_type else ""
        wrong = _wrong_digest(f"{url}{kind}, {arrived.size:,} bytes", found, publication, "")
        problems.append(wrong.problem)
        hint = "a proxy or a login page may have answered instead; or try a mirror with --url"
    raise DownloadError(
        "; ".join(problems) or "no address to fetch the weights from",
        hint=f"{hint}; or fetch {publication.url} on another machine, put it at "
        f"{part.with_suffix('')} and run the command again",
    )


def _fetch(
    url: str,
    part: Path,
    publication: Publication,
    progress: Progress,
    sleep: Callable[[float], None],
) -> tuple[Arrived, str]:
    """One URL's content and its MD5; a wrong one is not kept."""
    arrived = transfer(url, part, progress=progress, sleep=sleep)
    found = md5_file(part)
    if found != publication.md5 and arrived.fetched < arrived.size:
        log.warning("%s: what an earlier run had left is damaged; starting again", part)
        discard(part)
        arrived = transfer(url, part, progress=progress, sleep=sleep)
        found = md5_file(part)
    if found != publication.md5:
        discard(part)
    return arrived, found


def _unpack(source: Path, target: Path, publication: Publication) -> str:
    """Unpack the one file that is needed, and write its receipt; returns its SHA-256."""
    with archive.open_archive(source) as opened:
        files = archive.members(opened)
        if publication.member not in files:
            names = ", ".join(sorted(files)[:5]) or "nothing"
            raise archive.ArchiveError(
                f"{source}: has no {publication.member}, but {names}",
                hint="fetch the archive from its publisher",
            )
        info = files[publication.member]
        fresh = target.with_name(f"{target.name}.part")
        sha256 = archive.extract_member(opened, info, fresh, max_bytes=publication.max_bytes)
    receipt = {"archive_md5": publication.md5, "sha256": sha256, "size": fresh.stat().st_size}
    # The receipt first: a run killed in between leaves no file that nothing vouches for.
    atomic_write(receipt_path(target), (json.dumps(receipt, sort_keys=True) + "\n").encode())
    fresh.replace(target)
    fsync_folder(target.parent)
    return sha256


def _verified(target: Path) -> str | None:
    """The SHA-256 of a file that is there and right, or None where it must be fetched."""
    if not target.exists():
        return None
    receipt = read_receipt(target)
    try:
        size, sha256 = int(receipt["size"]), str(receipt["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise DownloadError(
            f"{target}: is there, but not from this command, so it is not touched",
            hint=f"use it with --weights {target}, or move it away and run again",
        ) from error
    if target.stat().st_size == size and sha256_file(target) == sha256:
        return sha256
    log.warning("%s: damaged since it was fetched; fetching it again", target)
    return None


def _wrong_digest(where: str, found: str, publication: Publication, hint: str) -> DownloadError:
    return DownloadError(
        f"{where}: not the published archive: MD5 {found}, expected {publication.md5}", hint=hint
    )
