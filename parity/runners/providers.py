"""Execution providers by the names that users type, and the proof that one really runs.

ONNX Runtime falls back to the CPU with a warning, and lists providers that cannot load. So a
provider counts as present only when a session was made with it and says so itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trufor_onnx.errors import ProviderError as NotInstalledError
from trufor_onnx.errors import ProviderRunError
from trufor_onnx.runtime import providers as runtime
from trufor_onnx.runtime.providers import (
    CPU,
    CUDA,
    NEXT,
    OPENVINO,
    OPTIONS,
    TENSORRT,
    install_hint,
    not_in_force,
)

AUTO = "auto"
ALWAYS_SHOWN = (CPU, CUDA)
# Those that are measured: what the product runs with, its settings included.
NAMES = {name: runtime.NAMES[name] for name in (CPU, CUDA, TENSORRT, OPENVINO)}
BINDS = (CUDA, TENSORRT)  # inputs and outputs lie on the device


@dataclass(frozen=True)
class Provider:
    """A provider that somebody asked for.

    Attributes:
        name: ``cpu``, ``cuda``, ``tensorrt`` or ``openvino``.
        required: asked for by name: its absence is an error, not a row "not run".
        options: its settings, shown in every report.
    """

    name: str
    required: bool
    options: dict[str, str] = field(default_factory=dict)

    @property
    def execution_provider(self) -> str:
        """What ONNX Runtime calls it."""
        return NAMES[self.name]

    def session_providers(self) -> list[Any]:
        """What a session is asked for: this one with its settings, then what takes the rest."""
        wanted: list[Any] = [(self.execution_provider, self.options)]
        wanted += [(NAMES[name], OPTIONS[name]) for name in NEXT.get(self.name, ())]
        return wanted if self.name == CPU else [*wanted, NAMES[CPU]]


def parse_providers(text: str) -> list[Provider]:
    """``cpu,cuda`` or ``auto``: the CPU, CUDA, and whatever else ONNX Runtime was built for.

    Under ``auto`` CUDA is listed where it is absent too: reports then say "not run".

    Raises:
        ProviderError: an unknown name, none, or ONNX Runtime is not installed.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == [AUTO]:
        built_for = import_onnxruntime().get_available_providers()
        return [
            Provider(name, required=name == CPU, options=OPTIONS.get(name, {}))
            for name, long_name in NAMES.items()
            if name in ALWAYS_SHOWN or long_name in built_for
        ]
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        raise ProviderRunError(
            f"unknown provider: {', '.join(unknown) or 'none given'}",
            hint=f"--providers takes {', '.join(NAMES)}, or {AUTO} alone",
        )
    return [Provider(n, required=True, options=OPTIONS.get(n, {})) for n in dict.fromkeys(names)]


def require_ran(provider: Provider, session_providers: list[str]) -> None:
    """Refuse a session that fell back to another provider.

    Args:
        provider: what was asked for.
        session_providers: what the session says of itself (``session.get_providers()``).

    Raises:
        ProviderError: the first provider of the session is not the one asked for.
    """
    ran = session_providers[0] if session_providers else "none"
    if ran != provider.execution_provider:
        raise ProviderRunError(
            f"{provider.name} was asked for and {ran} ran: {provider.execution_provider} did not "
            "load",
            hint=install_hint(provider.name),
        )


def require_options(provider: Provider, found: Mapping[str, str]) -> None:
    """Refuse a session whose provider has other settings than those that were asked for.

    Args:
        provider: what was asked for, with its settings.
        found: the settings that the session has (``session.get_provider_options()``).

    Raises:
        ProviderError: a setting has another value, or is not there where all are named.
    """
    wrong = not_in_force(provider.name, provider.options, found)
    if wrong:
        raise ProviderRunError(
            f"{provider.name} does not have the settings that it was given: {wrong}",
            hint="figures under other settings would not be comparable; use the onnxruntime of "
            "constraints.txt",
        )


def import_onnxruntime() -> Any:
    """The onnxruntime module, its reports to its maker turned off unless somebody turned them on.

    Raises:
        ProviderError: it is not installed.
    """
    try:
        return runtime.import_onnxruntime()
    except NotInstalledError as error:
        raise ProviderRunError(error.problem, hint=f"{error.hint}, or `make setup`") from error
