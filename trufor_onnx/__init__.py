"""PyTorch networks to ONNX files that can be trusted: export, compare, gate.

The packages `trufor_onnx.export`, `.parity`, `.runtime` and `.chunking` are the folders of those
names. In a checkout they stand beside this one, where ``python -m parity`` finds them too.
"""

from __future__ import annotations

from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[1]
if (_CHECKOUT / "chunking" / "manifest.py").is_file() and (_CHECKOUT / "pyproject.toml").is_file():
    __path__.append(str(_CHECKOUT))
