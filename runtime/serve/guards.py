"""Who may ask: the page itself, on the names that it was started for, and nobody else.

A server on 127.0.0.1 is reachable by every page that the browser shows. Another site's page cannot
read answers, but it can send requests; and by making its own name point to 127.0.0.1 (DNS
rebinding) it could read them too. So the Host header must be one of ours, and a request that
says where it comes from must come from us.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
OWN_SITES = ("same-origin", "none")  # "none": typed by the user
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def allowed_hosts(host: str, port: int, more: Iterable[str] = ()) -> frozenset[str]:
    """The values of the Host header that are answered.

    Args:
        host: the address that the server is bound to.
        port: its port; 0 means any.
        more: further names, such as a proxy's, with their port where it is not 80 or 443.
    """
    names = (*LOOPBACK, f"[{host}]" if ":" in host else host)
    return frozenset({*(f"{name}:{port}" for name in names), *more})


class Guard:
    """Refuses strangers, and puts the security headers on every answer.

    Args:
        app: what is guarded.
        hosts: see `allowed_hosts`.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *given]}
            await send(message)

        refusal = self._refusal(Headers(scope=scope))
        if refusal:
            answer = PlainTextResponse(f"{refusal}\n", status_code=403)
            await answer(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers) -> str:
        """Why a request is not answered, or ""."""
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return "this server does not go by that name (see --allow-host)"
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
            return "requests of other sites are not answered"
        if headers.get("sec-fetch-site", "none") not in OWN_SITES:
            return "requests of other sites are not answered"
        return ""
