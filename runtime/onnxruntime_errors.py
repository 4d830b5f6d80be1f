"""What ONNX Runtime raises, and what it says first. The one place for all that open sessions."""

from __future__ import annotations

from typing import Any


def own_errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """The kinds that ONNX Runtime defines: they have no common base but Exception."""
    own = vars(onnxruntime.capi.onnxruntime_pybind11_state).values()
    return tuple(k for k in own if isinstance(k, type) and issubclass(k, Exception))


def session_errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """Those, and what else ends the loading or running of a file."""
    return (*own_errors(onnxruntime), RuntimeError, MemoryError, OSError, ValueError)


def first_line(error: Exception) -> str:
    """The first line of its text, or its kind where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
