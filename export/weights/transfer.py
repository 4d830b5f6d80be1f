"""One file over HTTP into a ``.part`` file: resumed, retried, never two versions glued together.

A part is continued only when the server confirms that it still has that version of the file
(``If-Range`` and ``Range``, RFC 9110, sections 13.1.5 and 14); else the transfer starts again.
"""

from __future__ import annotations

import http.client
import io
import json
import logging
import re
import ssl
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError

from trufor_onnx.documents import parse_json
from trufor_onnx.errors import ExportError
from trufor_onnx.files import atomic_write, check_space, explained

Progress = Callable[[int, int | None], None]
"""Called with the bytes there are so far and the bytes in all (None: the server does not say)."""

BLOCK_BYTES = 1 << 18
TIMEOUT_S = 30.0
TRIES = 4
FIRST_PAUSE_S = 1.0
REAL_PROGRESS_BYTES = 1 << 20  # a try that brought this much does not count as a failed one
TRY_AGAIN_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
USER_AGENT = "trufor-onnx"

log = logging.getLogger(__name__)


def opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS through the system's proxies; nothing else, not by redirect either."""
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(urllib.request.getproxies()),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        director.add_handler(handler)
    return director


def number(text: str | None) -> int | None:
    """A header's decimal number, or None."""
    return int(text) if text and text.isdecimal() else None


def content_range(text: str) -> tuple[int, int | None]:
    """Start and total of ``bytes START-END/TOTAL``; a start of -1 where it is something else."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", text.strip())
    return (int(match[1]), number(match[2])) if match else (-1, None)


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
        version = Version(**parse_json(version_file(part).read_bytes()))
        have = part.stat().st_size
    except (OSError, ValueError, TypeError):  # none there, or not written by us
        return None
    too_long = version.total is not None and have > version.total
    return version if version.url == url and version.validator() and not too_long else None


def silent(done: int, total: int | None) -> None:
    """A `Progress` that shows nothing."""


class TransferError(ExportError):
    """The file could not be fetched. What arrived is kept for the next run."""


class _CutShortError(Exception):
    """This try ended early; the next one may go on."""


@dataclass
class _Tally:
    """Counts what comes over the network and tells the progress bar where the part stands."""

    progress: Progress
    fetched: int = 0

    def add(self, count: int, done: int, total: int | None) -> None:
        self.fetched += count
        self.progress(done, total)


@dataclass(frozen=True)
class Arrived:
    """A completed transfer."""

    size: int
    fetched: int  # bytes that came over the network in this call
    content_type: str


def transfer(
    url: str,
    part: Path,
    *,
    progress: Progress = silent,
    tries: int = TRIES,
    timeout_s: float = TIMEOUT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Arrived:
    """Fetch ``url`` into ``part``, going on where an earlier call ended.

    Proxies come from the environment (``http_proxy``, ``https_proxy``, ``no_proxy``) or from the
    system. A failed try is repeated after 1, 2, 4 ... seconds.

    Raises:
        TransferError: no network, or a refusal by the server. The part is kept.
        StorageError: the part cannot be written, which no second try mends.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise TransferError(f"{url}: not an http or https address", hint="check the spelling")
    tally = _Tally(progress)
    failed = before = 0
    while True:
        try:
            size, content_type = _one_try(url, part, tally, timeout_s)
            return Arrived(size, tally.fetched, content_type)
        except HTTPError as error:
            error.close()
            if error.code not in TRY_AGAIN_STATUS:
                raise _gave_up(url, f"the server answers {error.code} {error.reason}") from error
            problem = f"the server answers {error.code} {error.reason}"
        except URLError as error:
            problem = str(error.reason)
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise _gave_up(url, problem) from error
        except (_CutShortError, http.client.HTTPException, OSError) as error:
            problem = str(error) or type(error).__name__
        failed = 1 if tally.fetched - before >= REAL_PROGRESS_BYTES else failed + 1
        before = tally.fetched
        if failed >= tries:
            raise _gave_up(url, problem)
        pause = FIRST_PAUSE_S * 2 ** (failed - 1)
        log.warning("%s: %s; trying again in %g s", url, problem, pause)
        sleep(pause)


def _one_try(url: str, part: Path, tally: _Tally, timeout_s: float) -> tuple[int, str]:
    """One request; returns the part's size when it is complete, and the content type."""
    known = known_version(url, part)
    have = part.stat().st_size if known else 0
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if known and have:
        if have == known.total:
            tally.add(0, have, have)
            return have, ""
        headers |= {"Range": f"bytes={have}-", "If-Range": known.validator()}
    request = urllib.request.Request(url, headers=headers)
    try:
        response = opener().open(request, timeout=timeout_s)
    except HTTPError as error:
        if error.code != 416:  # the file is not longer than what we have: another version
            raise
        error.close()
        discard(part)
        raise _CutShortError("the file on the server has changed") from error
    with response:
        start, total = 0, number(response.headers.get("Content-Length"))
        if response.status == 206:
            start, total = content_range(response.headers.get("Content-Range", ""))
        version = Version(
            url,
            response.headers.get("ETag", ""),
            response.headers.get("Last-Modified", ""),
            total,
        )
        if response.status == 206 and not (known and known.agrees(version) and start == have):
            discard(part)
            raise _CutShortError("the file on the server has changed")
        if start == 0:
            with explained("write", part):
                start_anew(part, version)
        if total is not None:
            check_space(part.parent, total - start)
        size = _receive(response, part, start, total, tally)
        return size, response.headers.get("Content-Type", "")


def _receive(
    response: http.client.HTTPResponse, part: Path, start: int, total: int | None, tally: _Tally
) -> int:
    """Append the body to the part, which has ``start`` bytes; returns the part's size."""
    size = start
    tally.add(0, size, total)
    with explained("write", part):
        stream = part.open("ab", buffering=0)
    with stream:
        while block := response.read1(BLOCK_BYTES):
            with explained("write", part):
                _write_all(stream, block)
            size += len(block)
            tally.add(len(block), size, total)
    if total is not None and size != total:
        raise _CutShortError(f"the connection ended after {size:,} of {total:,} bytes")
    return size


def _write_all(stream: io.FileIO, block: bytes) -> None:
    """Write unbuffered, so that a full disk is noticed here and not again on closing."""
    rest = memoryview(block)
    while rest:
        rest = rest[stream.write(rest) :]


def _gave_up(url: str, problem: str) -> TransferError:
    return TransferError(
        f"{url}: {problem}",
        hint="check the network and the proxy settings (http_proxy, https_proxy, no_proxy); "
        "run the command again to go on where it stopped",
    )
