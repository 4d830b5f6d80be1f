"""What a download needs of HTTP beside the request itself: who may be asked, what headers say."""

from __future__ import annotations

import re
import urllib.request


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
