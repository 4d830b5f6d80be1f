"""ONNX Runtime: which one is installed, what it raises, and where its sessions are opened."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trufor_onnx.errors import ProviderError, UserError

ONNXRUNTIME, ABSENT = "onnxruntime", "absent"
CPU_NAME = "CPUExecutionProvider"
INSTALL = "pip install 'trufor-onnx[cpu]' or 'trufor-onnx[gpu]'"


def open_session(
    file: Path | bytes | str, options: Any, providers: Sequence[Any] = (CPU_NAME,)
) -> Any:
    """An ``InferenceSession``; no other line of the product opens one.

    Without fallback, at opening and later: a provider that fails would be replaced by the CPU
    unsaid. What ONNX Runtime raises is the caller's to explain (`session_errors`).

    Args:
        file: an ONNX file, or the bytes of one.
        options: ``SessionOptions``, each caller's own.
        providers: what it may run on, in order, with settings where they have some.
    """
    model = str(file) if isinstance(file, Path) else file
    session = import_onnxruntime().InferenceSession(
        model, options, providers=list(providers), enable_fallback=0
    )
    session.disable_fallback()
    return session


def import_onnxruntime(kind: type[UserError] = ProviderError, *, hint: str = INSTALL) -> Any:
    """The onnxruntime module, its reports to its maker turned off unless somebody turned them on.

    Args:
        kind: the error to raise where it is not there.
        hint: how to get it.

    Raises:
        UserError: of ``kind``: it is not installed.
    """
    # Official builds report to Microsoft what they run; read once, when the library is loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise kind("onnxruntime is not installed", hint=hint) from error
    return onnxruntime


def own_errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """The kinds that ONNX Runtime defines: they have no common base but Exception."""
    own = vars(onnxruntime.capi.onnxruntime_pybind11_state).values()
    return tuple(k for k in own if isinstance(k, type) and issubclass(k, Exception))


def session_errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """Those, and what else ends the loading or running of a file."""
    return (*own_errors(onnxruntime), RuntimeError, MemoryError, OSError, ValueError)


@cache
def onnxruntime_wheel() -> tuple[str, str]:
    """Name and version of the wheel that provides the onnxruntime module; ``absent`` without one.

    Several wheels do (onnxruntime-gpu, onnxruntime-openvino, onnxruntime-directml, nightly ones);
    of two that are installed, the one that wrote its files last is imported. Each writes down its
    name in the module, which is read here and not imported.
    """
    module = find_spec(ONNXRUNTIME)
    for folder in (module.submodule_search_locations or ()) if module else ():
        try:
            text = (Path(folder) / "capi/build_and_package_info.py").read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        given = dict(re.findall(r"""^(package_name|__version__) = ['"]([^'"]+)""", text, re.M))
        if "package_name" in given:
            name = given["package_name"]
            known = _version(name)
            return name, given.get("__version__", known) if known == ABSENT else known
    for name in packages_distributions().get(ONNXRUNTIME, ()) if module else ():
        return name, _version(name)
    return ONNXRUNTIME, ABSENT


def package_version(name: str) -> str:
    """A package's version without its local suffix, or ``absent``.

    Of ``onnxruntime`` that of the wheel which provides the module, whatever that is called.
    """
    return onnxruntime_wheel()[1] if name == ONNXRUNTIME else _version(name)


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return ABSENT
