"""The page's server: who is answered, what is answered, what is refused."""

from __future__ import annotations

import base64
import io
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trufor_onnx.runtime import Detector
from trufor_onnx.runtime.serve.app import allowed_hosts

MOST_BYTES = 1 << 20


def picture(address: str) -> Image.Image:
    head, _, data = address.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_an_image_is_analysed(served: Any, photo: bytes, detector: Detector) -> None:
    found = served.ask("POST", "/analyze", photo, x_file_name="my%20photo.png")
    assert found.status == 200
    expected = detector.analyze(photo)
    assert found.json["score"] == pytest.approx(expected.score, abs=1e-6)
    assert (found.json["width"], found.json["height"]) == (48, 40)
    assert found.json["name"] == "my photo.png"
    assert found.json["warning"].startswith("STAND-IN")
    shown = found.json["pictures"]
    assert {picture(address).size for address in shown.values()} == {(48, 40)}
    rgb = np.asarray(picture(shown["image"]).convert("RGB"))
    assert np.array_equal(rgb, np.asarray(Image.open(io.BytesIO(photo))))


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/icon.svg", "/about"])
def test_every_answer_has_the_security_headers(served: Any, path: str) -> None:
    found = served.ask("GET", path)
    assert found.status == 200
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in found.headers


def test_the_page_loads_nothing_from_elsewhere() -> None:
    folder = Path(__file__).resolve().parents[3] / "runtime" / "serve" / "page"
    for path in folder.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text
        assert "https:" not in text
        assert "style=" not in text  # the policy would block it
        assert "onclick" not in text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "", "127.0.0.1:x"])
def test_other_names_are_refused(served: Any, photo: bytes, host: str) -> None:
    """DNS rebinding: the browser thinks that evil.example is us."""
    assert served.ask("GET", "/", host=host).status == 403
    found = served.ask("POST", "/analyze", photo, host=host)
    assert found.status == 403
    assert b"score" not in found.body


def test_our_own_names_are_answered(served: Any) -> None:
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        assert served.ask("GET", "/", host=f"{name}:{served.port}").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_other_sites_are_refused(served: Any, photo: bytes, headers: dict[str, str]) -> None:
    assert served.ask("POST", "/analyze", photo, **headers).status == 403


def test_the_page_itself_is_answered(served: Any, photo: bytes) -> None:
    headers = {"origin": f"http://{served.host}", "sec_fetch_site": "same-origin"}
    assert served.ask("POST", "/analyze", photo, **headers).status == 200


def test_large_uploads_are_refused_before_they_are_read(served: Any) -> None:
    found = served.ask("POST", "/analyze", b"", content_length=str(MOST_BYTES + 1))
    assert found.status == 413
    assert "1 MiB" in found.json["hint"]


def test_large_uploads_of_unknown_length(served: Any) -> None:
    parts = (b"x" * 65536 for _ in range(17))
    found = served.ask("POST", "/analyze", parts, chunked=True, transfer_encoding="chunked")
    assert found.status == 413


@pytest.mark.parametrize("body", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_image(served: Any, body: bytes) -> None:
    found = served.ask("POST", "/analyze", body)
    assert found.status == 422
    assert set(found.json) == {"problem", "hint"}


def test_too_many_pixels(served: Any) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (501, 500)).save(stream, "PNG")
    found = served.ask("POST", "/analyze", stream.getvalue())
    assert found.status == 422
    assert "too many pixels" in found.json["problem"]


@pytest.mark.parametrize("path", ["/../cli.py", "/page/index.html", "/etc/passwd", "/analyze"])
def test_nothing_else_is_served(served: Any, path: str) -> None:
    assert served.ask("GET", path).status in (404, 405)


def test_no_image_is_kept(
    served: Any, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is opened for writing while an image is analysed, not even a temporary file."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert served.ask("POST", "/analyze", photo).status == 200
    assert sorted(tmp_path.rglob("*")) == before


def test_several_at_once(served: Any, photo: bytes) -> None:
    """One after the other; more than a few are told to wait."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: served.ask("POST", "/analyze", photo), range(8)))
    assert {answer.status for answer in found} <= {200, 503}
    scores = {answer.json["score"] for answer in found if answer.status == 200}
    assert len(scores) == 1
    assert served.ask("POST", "/analyze", photo).status == 200


def test_names_that_are_answered() -> None:
    assert "127.0.0.1:80" in allowed_hosts("127.0.0.1", 80)
    assert "[fe80::1]:80" in allowed_hosts("fe80::1", 80)
    assert "photos.example" in allowed_hosts("127.0.0.1", 80, ["photos.example"])
