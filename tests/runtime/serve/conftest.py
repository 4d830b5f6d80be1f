"""The local page's server in a thread, with the tiny networks."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trufor_onnx.runtime import Detector

MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A running server."""

    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, body: Any = None, *, chunked: bool = False, **headers: str
    ) -> Answer:
        """Underscores in header names stand for hyphens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named, encode_chunked=chunked)
            found = connection.getresponse()
            lowered = {name.lower(): value for name, value in found.getheaders()}
            return Answer(found.status, lowered, found.read())
        finally:
            connection.close()


@pytest.fixture(scope="session")
def served(tiny_models: Path) -> Iterator[Served]:
    uvicorn = pytest.importorskip("uvicorn", reason="the page's server is not installed")
    from trufor_onnx.runtime.serve.app import allowed_hosts, make_app

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        detector = Detector(tiny_models, threads=1, largest_pixels=250_000)
        app = make_app(detector, allowed_hosts("127.0.0.1", port), most_bytes=MOST_BYTES)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield Served(port)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def photo(photos: Path) -> bytes:
    """A small PNG file's bytes."""
    return (photos / "a.png").read_bytes()
