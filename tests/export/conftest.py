"""Tiny networks, graphs of a few lines, and an HTTP server that can misbehave on request."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from trufor_onnx.export.build import Built, build_file
from trufor_onnx.export.graph.provenance import CHECKPOINT, GraphProvenance, Origin
from trufor_onnx.export.graph.trace import DEFAULT_OPSET
from trufor_onnx.export.networks.registry import MIT_B2, NOISEPRINT_PP, TRUFOR, TRUFOR_HEAD
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.sources import WeightsSource


@dataclass
class FileServer:
    """Serves one content at every path, and keeps what it was asked."""

    content: bytes = b""
    etag: str | None = '"v1"'
    last_modified: str | None = None
    content_type: str = "application/zip"
    honours_range: bool = True
    honours_if_range: bool = True
    says_length: bool = True
    cut_after: list[int] = field(default_factory=list)  # bytes of the body, one entry a request
    statuses: list[int] = field(default_factory=list)  # refusals before the first answer
    redirect_to: str = ""
    port: int = 0
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/files/weights.zip"

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of every request, in order."""
        return [headers.get("range") for _, headers in self.requests]


class _Handler(BaseHTTPRequestHandler):
    serves: FileServer

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def do_CONNECT(self) -> None:
        self._note()
        self.send_error(403, "no tunnels here")

    def do_GET(self) -> None:
        self._note()
        serves = self.serves
        if serves.statuses:
            self.send_error(serves.statuses.pop(0))
            return
        if serves.redirect_to:
            self.send_response(302)
            self.send_header("Location", serves.redirect_to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = self._start()
        if start is not None and start >= len(serves.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(serves.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send(start)

    def _note(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.serves.requests.append((self.path, headers))

    def _start(self) -> int | None:
        serves = self.serves
        asked = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if asked is None or not serves.honours_range:
            return None
        current = (serves.etag, serves.last_modified)
        if condition is not None and serves.honours_if_range and condition not in current:
            return None
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def _send(self, start: int | None) -> None:
        serves = self.serves
        body = serves.content[start or 0 :]
        self.send_response(200 if start is None else 206)
        self.send_header("Content-Type", serves.content_type)
        if serves.etag:
            self.send_header("ETag", serves.etag)
        if serves.last_modified:
            self.send_header("Last-Modified", serves.last_modified)
        if serves.says_length:
            self.send_header("Content-Length", str(len(body)))
        if start is not None:
            last = len(serves.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(serves.content)}")
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a client that hangs up is part of the tests
            self.wfile.write(body[: serves.cut_after.pop(0)] if serves.cut_after else body)
        self.close_connection = True


@pytest.fixture
def make_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FileServer]]:
    """Call it with a `FileServer`'s fields; the servers stop when the test ends."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with contextlib.ExitStack() as stack:

        def make(**fields: object) -> FileServer:
            serves = FileServer(**fields)  # type: ignore[arg-type]  # the tests' own keywords
            handler = type("Handler", (_Handler,), {"serves": serves})
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            serves.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return serves

        yield make  # type: ignore[misc]  # a function with the class's keywords


@pytest.fixture(scope="session")
def tiny() -> dict[str, ModelSpec]:
    """Our four networks by name, of a few thousand parameters each."""
    from trufor_onnx.export.models.mit_b2 import EncoderConfig
    from trufor_onnx.export.models.noiseprint_pp import NoiseprintConfig
    from trufor_onnx.export.models.trufor import TruForConfig

    # Every stage differs from every other, heads are several, one reduction is 1.
    encoder = EncoderConfig(
        channels=(4, 8, 12, 16), depths=(1, 2, 1, 1), heads=(1, 2, 3, 4), reductions=(8, 4, 2, 1)
    )
    noiseprint = NoiseprintConfig(depth=4, width=6)
    trufor = TruForConfig(noiseprint, encoder, decoder_width=10, score_width=7)
    fused = tuple(
        replace(output, axes=(output.axes[0], channels, *output.axes[2:]))
        for output, channels in zip(MIT_B2.outputs, encoder.channels, strict=True)
    )
    changed = (
        replace(NOISEPRINT_PP, builder_arguments={"config": noiseprint}),
        replace(MIT_B2, builder_arguments={"config": encoder}, outputs=fused),
        replace(TRUFOR, builder_arguments={"config": trufor}),
        replace(TRUFOR_HEAD, builder_arguments={"config": trufor}),
    )
    return {spec.name: spec for spec in changed}


@pytest.fixture(scope="session")
def built(tiny: dict[str, ModelSpec]) -> Callable[..., Built]:
    """A tiny network's file with stand-in weights of seed ``s``: ``built(name, opset=17)``."""

    @cache
    def build(name: str, opset: int = DEFAULT_OPSET) -> Built:
        return build_file(tiny[name], WeightsSource(stand_in="s"), opset=opset)

    return build


@pytest.fixture
def tiny_registry(tiny: dict[str, ModelSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find the tiny networks under the names of the full ones."""
    monkeypatch.setattr("trufor_onnx.export.networks.registry.OURS", tuple(tiny.values()))


@pytest.fixture(autouse=True)
def no_weights_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds the weights or the files of the person who runs it."""
    monkeypatch.delenv("TRUFOR_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)


HEADER = '<ir_version: 8, opset_import: ["" : 17]>\ng '
Arrays = dict[str, npt.NDArray[Any]]


def make(text: str, weights: Arrays, *, known: bool = True) -> tuple[ir.Model, GraphProvenance]:
    """A graph whose inputs named in ``weights`` are initializers of the checkpoint."""
    model = ir.from_proto(onnx.parser.parse_model(HEADER + text))
    provenance = GraphProvenance()
    for value in list(model.graph.inputs):
        if value.name in weights:
            model.graph.inputs.remove(value)
            value.const_value = ir.Tensor(weights[value.name], name=value.name)
            model.graph.register_initializer(value)
            if known:
                provenance.origins[value.name] = Origin(CHECKPOINT, (value.name,))
    return model, provenance


def in_float64(model: ir.Model, **feeds: npt.NDArray[Any]) -> list[npt.NDArray[np.float64]]:
    """The graph's outputs, every weight and every operation in float64."""
    proto = ir.to_proto(model)
    for tensor in proto.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float64), name))
    evaluator = ReferenceEvaluator(proto)
    doubles = {name: array.astype(np.float64) for name, array in feeds.items()}
    found: list[npt.NDArray[np.float64]] = evaluator.run(None, doubles)
    assert all(array.dtype == np.float64 for array in found)
    return found


@pytest.fixture(name="make", scope="session")
def make_fixture() -> Callable[..., tuple[ir.Model, GraphProvenance]]:
    return make


@pytest.fixture(name="in_float64", scope="session")
def in_float64_fixture() -> Callable[..., list[npt.NDArray[np.float64]]]:
    return in_float64


@pytest.fixture
def draw() -> Callable[..., npt.NDArray[np.float32]]:
    """float32 in [-1, 1), the same in every run: ``draw(2, 3)``."""
    generator = np.random.default_rng(5)
    return lambda *shape: generator.uniform(-1, 1, shape).astype(np.float32)
