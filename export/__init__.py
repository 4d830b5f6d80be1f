"""PyTorch networks to ONNX files, the same bytes on every run, every weight proven.

Called, ``trufor_onnx.export(spec, weights=..., out=...)``, it is `trufor_onnx.face.export`: a
script that imports the package and a part of this one has both under one name.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

FACE = "trufor_onnx.face"  # above this package, which uses nothing of it


class _Package(ModuleType):
    """This package, which can be called."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        return import_module(FACE).export(*given, **named)


sys.modules[__name__].__class__ = _Package
