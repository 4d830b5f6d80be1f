"""The local page's server: four files and one question."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import anyio.to_thread
import numpy as np
import numpy.typing as npt
from PIL import Image
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trufor_onnx.errors import ImageError, UserError
from trufor_onnx.runtime.detector import Analysis, Detector
from trufor_onnx.runtime.images import load_picture
from trufor_onnx.runtime.overlay import INFERNO, VIRIDIS, coloured, table

LARGEST_SIDE = 1600  # pixels of a picture on the page; the analysis is never scaled

Pixels = npt.NDArray[np.uint8]
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
PAGE = Path(__file__).parent / "page"
FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js", "/icon.svg": "icon.svg"}
MOST_WAITING = 4  # uploads in memory at once, the one at work included
LONGEST_NAME = 200  # letters of a file's name that are shown


def answer(rgb: Pixels, analysis: Analysis) -> dict[str, Any]:
    """What the page gets.

    Args:
        rgb: (H, W, 3) uint8, the analysed image.
        analysis: of this image.

    Returns:
        Numbers, texts, and three PNG pictures of one size as ``data:`` addresses: ``image`` (so
        that formats which browsers do not show are seen too), ``map`` and ``conf`` in colours.
    """
    info = analysis.image
    size = _screen_size(info.width, info.height)
    return {
        "name": info.name,
        "width": info.width,
        "height": info.height,
        "format": info.format,
        "notes": list(info.notes),
        "score": analysis.score,
        "map_over_half": float((analysis.map > 0.5).mean()),
        "conf_mean": float(analysis.conf.mean()),
        "seconds": analysis.timings_ms["total"] / 1000,
        "provider": analysis.provider,
        "weights": analysis.provenance.weights,
        "warning": analysis.provenance.warning,
        "pictures": {
            "image": _address(Image.fromarray(rgb), size),
            "map": _address(Image.fromarray(coloured(analysis.map, table(INFERNO))), size),
            "conf": _address(Image.fromarray(coloured(analysis.conf, table(VIRIDIS))), size),
        },
    }


def _screen_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, LARGEST_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _address(picture: Image.Image, size: tuple[int, int]) -> str:
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BOX)
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


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


class Analyses:
    """Answers ``POST /analyze``: one image at a time, few in memory, none kept.

    Args:
        detector: opened.
        most_bytes: the largest upload.
    """

    def __init__(self, detector: Detector, most_bytes: int) -> None:
        self._detector = detector
        self._most_bytes = most_bytes
        self._turn = anyio.Lock()
        self._inside = 0

    async def __call__(self, request: Request) -> Response:
        """The analysis of the request's body, or an error as JSON."""
        if self._inside >= MOST_WAITING:
            return _problem(503, "too many images at once", "wait for those before")
        self._inside += 1
        try:
            data = await self._body(request)
            if data is None:
                limit = f"{self._most_bytes / (1 << 20):g} MiB"
                return _problem(413, "the file is too large", f"the limit is {limit}")
            name = unquote(request.headers.get("x-file-name", ""))[:LONGEST_NAME] or "image"
            async with self._turn:
                if await request.is_disconnected():
                    return Response(status_code=499)
                return JSONResponse(await anyio.to_thread.run_sync(self._analyze, data, name))
        except ClientDisconnect:
            return Response(status_code=499)
        except UserError as error:
            status = 422 if isinstance(error, ImageError) else 500
            return _problem(status, error.problem, error.hint)
        finally:
            self._inside -= 1

    def _analyze(self, data: bytes, name: str) -> dict[str, Any]:
        picture = load_picture(data, name=name, largest_pixels=self._detector.largest_pixels)
        return answer(picture.rgb, self._detector.analyze(picture))

    async def _body(self, request: Request) -> bytes | None:
        """The request's body, or None where it is larger than allowed."""
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._most_bytes:
            return None
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > self._most_bytes:
                return None
            parts.append(part)
        return b"".join(parts)


def make_app(detector: Detector, hosts: frozenset[str], *, most_bytes: int) -> Starlette:
    """The application.

    Args:
        detector: opened; closed when the server ends.
        hosts: the Host headers that are answered; see `runtime.serve.app.allowed_hosts`.
        most_bytes: the largest upload.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with detector:
            yield

    async def file(request: Request) -> Response:
        return FileResponse(PAGE / FILES[request.url.path])

    async def about(_: Request) -> Response:
        known = detector.provenance
        return JSONResponse(
            {"weights": known.weights, "warning": known.warning, "most_bytes": most_bytes}
        )

    analyses = Analyses(detector, most_bytes)

    async def analyze(request: Request) -> Response:
        return await analyses(request)

    return Starlette(
        routes=[
            *(Route(path, file, methods=["GET"]) for path in FILES),
            Route("/about", about, methods=["GET"]),
            Route("/analyze", analyze, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, hosts=hosts)],
        lifespan=lifespan,
    )


def _problem(status: int, problem: str, hint: str) -> JSONResponse:
    return JSONResponse({"problem": problem, "hint": hint}, status_code=status)
