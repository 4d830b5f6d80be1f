"""An onnxruntime that lies."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _load() -> ModuleType:
    """`fake_onnxruntime.py`, which lies beside this file (tests are no package)."""
    path = Path(__file__).with_name("fake_onnxruntime.py")
    spec = importlib.util.spec_from_file_location("fake_onnxruntime", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fake_onnxruntime"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module with the fake's parts."""
    return _load()


@pytest.fixture
def lie(monkeypatch: pytest.MonkeyPatch, fake: ModuleType) -> Callable[..., Any]:
    """Put an onnxruntime in place that follows a script. Gives the script."""

    def replace(at_start: list[str], **given: Any) -> Any:
        script = fake.Script(at_start, **given)
        monkeypatch.setitem(sys.modules, "onnxruntime", script.module())
        return script

    return replace
