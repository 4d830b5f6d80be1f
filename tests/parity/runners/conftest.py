"""An onnxruntime that lies."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module with the fake's parts."""
    from tests.parity.runners import fake_onnxruntime

    return fake_onnxruntime


@pytest.fixture
def lie(monkeypatch: pytest.MonkeyPatch, fake: ModuleType) -> Callable[..., Any]:
    """Put an onnxruntime in place that follows a script. Gives the script."""

    def replace(at_start: list[str], **given: Any) -> Any:
        script = fake.Script(at_start, **given)
        monkeypatch.setitem(sys.modules, "onnxruntime", script.module())
        return script

    return replace
