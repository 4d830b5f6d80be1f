"""What ONNX Runtime raises. The one place for all that open sessions."""

from __future__ import annotations

from typing import Any


def own_errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """The kinds that ONNX Runtime defines: they have no common base but Exception."""
    own = vars(onnxruntime.capi.onnxruntime_pybind11_state).values()
    return tuple(k for k in own if isinstance(k, type) and issubclass(k, Exception))


def session_errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """Those, and what else ends the loading or running of a file."""
    return (*own_errors(onnxruntime), RuntimeError, MemoryError, OSError, ValueError)
