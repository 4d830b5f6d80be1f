"""PyTorch networks to ONNX files that can be trusted: export, compare, gate.

`trufor_onnx.face` has the names below, for scripts and notebooks; they are imported when they are
asked for, so that ``import trufor_onnx`` loads no framework. The packages `trufor_onnx.export`,
`.parity`, `.runtime` and `.chunking` are the folders of those names. In a checkout they stand
beside this one, where ``python -m parity`` finds them too.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

_CHECKOUT = Path(__file__).resolve().parents[1]
if (_CHECKOUT / "chunking" / "manifest.py").is_file() and (_CHECKOUT / "pyproject.toml").is_file():
    __path__.append(str(_CHECKOUT))

# What is exported, what is done with it, what comes of it. No import statement names them here:
# every module's key in the cache of references would hold all that they reach.
__all__ = [
    "Decision",
    "ExportedFile",
    "Judged",
    "ModelSpec",
    "ParityReport",
    "Preprocessing",
    "TensorSpec",
    "UserError",
    "compare",
    "export",
    "gate",
]
_FROM = {
    "trufor_onnx.errors": ("UserError",),
    "trufor_onnx.export.networks.spec": ("Judged", "ModelSpec", "Preprocessing", "TensorSpec"),
    "trufor_onnx.export.build": ("ExportedFile",),
    "trufor_onnx.face": ("ParityReport", "compare", "gate"),
    "trufor_onnx.parity.results.findings": ("Decision",),
}


def __getattr__(name: str) -> Any:
    if name == "export":  # the package, which can be called
        return import_module("trufor_onnx.export")
    for module, names in _FROM.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
