"""ONNX Runtime: there or not, and opened in one place, without fallback."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from trufor_onnx.errors import ProviderError, ProviderRunError
from trufor_onnx.providers import import_to_measure
from trufor_onnx.sessions import import_onnxruntime, open_session, session_errors

GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[2] x) => (float[2] y) { y = Neg(x) }
"""


def test_without_onnxruntime_there_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for find, kind in (
        (import_onnxruntime, ProviderError),
        (import_to_measure, ProviderRunError),
    ):
        with pytest.raises(kind, match="onnxruntime is not installed") as caught:
            find()
        assert "pip install" in caught.value.hint


@pytest.mark.parametrize("kind", [bytes, str, Path])
def test_a_session_of_a_file_or_of_its_bytes(kind: Any, tmp_path: Path) -> None:
    import onnxruntime

    data = onnx.parser.parse_model(GRAPH).SerializeToString()
    path = tmp_path / "x.onnx"
    path.write_bytes(data)
    session = open_session(data if kind is bytes else kind(path), onnxruntime.SessionOptions())
    assert session.get_providers() == ["CPUExecutionProvider"]
    (found,) = session.run(None, {"x": np.array([1, 2], np.float32)})
    assert found.tolist() == [-1.0, -2.0]
    with pytest.raises(session_errors(onnxruntime)):
        open_session(b"not a graph", onnxruntime.SessionOptions())


def test_fallback_is_off_at_opening_and_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that fails would be replaced by the CPU unsaid."""
    import onnxruntime

    told: list[Any] = []

    class Session:
        def __init__(self, *given: Any, **more: Any) -> None:
            told.append((given, more))

        def disable_fallback(self) -> None:
            told.append("disabled")

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    open_session("x.onnx", "options", [("CUDAExecutionProvider", {"use_tf32": "0"})])
    asked = [("CUDAExecutionProvider", {"use_tf32": "0"})]
    wanted = {"providers": asked, "enable_fallback": 0}
    assert told == [(("x.onnx", "options"), wanted), "disabled"]
