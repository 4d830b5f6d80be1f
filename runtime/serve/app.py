"""The local page's server: four files and one question."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from chunking.errors import UserError
from runtime.detector import Detector
from runtime.errors import ImageError
from runtime.images import load_picture
from runtime.serve.answers import answer
from runtime.serve.guards import Guard

PAGE = Path(__file__).parent / "page"
FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js", "/icon.svg": "icon.svg"}
MOST_WAITING = 4  # uploads in memory at once, the one at work included
LONGEST_NAME = 200  # letters of a file's name that are shown


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
        hosts: the Host headers that are answered; see `runtime.serve.guards.allowed_hosts`.
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
