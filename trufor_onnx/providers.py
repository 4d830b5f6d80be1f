"""Execution providers by the names that users type, with the settings that they run under.

ONNX Runtime lists providers that cannot load and replaces them by the CPU with a warning; so only
what a session says of itself counts. `runtime` and `parity` have their settings from here: what was
not measured must not run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trufor_onnx.errors import ProviderError, ProviderRunError
from trufor_onnx.sessions import CPU_NAME, import_onnxruntime, onnxruntime_wheel
from trufor_onnx.sessions import INSTALL as INSTALL_HINT

CPU, CUDA, TENSORRT, OPENVINO = "cpu", "cuda", "tensorrt", "openvino"
NAMES = {
    CPU: CPU_NAME,
    CUDA: "CUDAExecutionProvider",
    TENSORRT: "TensorrtExecutionProvider",
    OPENVINO: "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "dml": "DmlExecutionProvider",
}
AUTO = "auto"
MEASURED = (CPU, CUDA, TENSORRT, OPENVINO)  # those that `parity` runs
ALWAYS_SHOWN = (CPU, CUDA)
# What is pinned, with what it would do otherwise.
OPTIONS: dict[str, dict[str, str]] = {
    # TF32 rounds inputs to 10 bits; an exhaustive cuDNN search picks another algorithm, with
    # other rounding, from run to run.
    CUDA: {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"},
    # A cached engine's name follows from the graph, not from its weights: a retrained network
    # under the same file name would be judged by the old engine. So engines are built anew.
    TENSORRT: {
        "trt_engine_cache_enable": "0",
        "trt_timing_cache_enable": "0",
        "trt_fp16_enable": "0",
        "trt_int8_enable": "0",
    },
    # Without a precision OpenVINO computes in bfloat16 on processors that have it.
    OPENVINO: {"device_type": "CPU", "precision": "FP32"},
}
# Devices that take over what the first does not have; the CPU always comes last.
NEXT = {TENSORRT: (CUDA,)}
# Of these a session names every setting; one that it does not name is not in force.
NAMES_ITS_OPTIONS = (CUDA, TENSORRT)
TRUTHS = {"true": "1", "false": "0"}  # settings come back in either spelling
# What a provider needs beside ONNX Runtime itself.
LIBRARIES = {
    CUDA: "CUDA and cuDNN, in the versions that it was built for",
    TENSORRT: "TensorRT, CUDA and cuDNN, in the versions that it was built for",
    OPENVINO: "OpenVINO, in the version that it was built for",
    "dml": "DirectX 12",
}
INSTALL = {
    CPU: "reinstall it: pip install --force-reinstall 'trufor-onnx[cpu]'",
    CUDA: "pip install 'trufor-onnx[gpu]' in place of [cpu], with CUDA and cuDNN on the machine",
    TENSORRT: "pip install onnxruntime-gpu in place of onnxruntime, with TensorRT on the machine",
    OPENVINO: "pip install onnxruntime-openvino in place of onnxruntime",
}


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
        built_for = import_to_measure().get_available_providers()
        return [
            Provider(name, required=name == CPU, options=OPTIONS.get(name, {}))
            for name in MEASURED
            if name in ALWAYS_SHOWN or NAMES[name] in built_for
        ]
    unknown = [name for name in names if name not in MEASURED]
    if unknown or not names:
        raise ProviderRunError(
            f"unknown provider: {', '.join(unknown) or 'none given'}",
            hint=f"--providers takes {', '.join(MEASURED)}, or {AUTO} alone",
        )
    return [Provider(n, required=True, options=OPTIONS.get(n, {})) for n in dict.fromkeys(names)]


def checked(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once.

    Raises:
        ProviderError: none, or one that is not known.
    """
    given = (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
    unknown = [name for name in given if name not in NAMES]
    if unknown or not given:
        raise ProviderError(
            f"unknown provider: {', '.join(unknown) or 'none given'}",
            hint=f"known are {', '.join(NAMES)}",
        )
    return given


def wanted(names: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """What a session is made with, in order.

    Behind a device comes what takes over from it, and the CPU last, unless it was asked for first.
    """
    chain = [one for name in names for one in (name, *NEXT.get(name, ()))]
    ends = [] if names[0] == CPU else [CPU]
    first = [one for one in dict.fromkeys(chain) if one not in ends]
    return [(NAMES[name], OPTIONS.get(name, {})) for name in [*first, *ends]]


def not_in_force(name: str, given: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Which settings of a provider a session does not have, in words; empty where all are right.

    Args:
        name: of the provider.
        given: the settings that it was to have.
        found: the settings that the session has (``session.get_provider_options()``).
    """
    return "; ".join(
        f"{key} is {found.get(key, 'not named')}, not {value}"
        for key, value in given.items()
        if (key in found or name in NAMES_ITS_OPTIONS)
        and _spelt(found.get(key, "")) != _spelt(value)
    )


def install_hint(name: str) -> str:
    """What makes a provider run here, by what the installed wheel offers, whatever it is called."""
    wheel, version = onnxruntime_wheel()
    offered = import_onnxruntime().get_available_providers()
    if NAMES[name] in offered:
        needs = LIBRARIES.get(name, "its libraries")
        return (
            f"the installed {wheel} {version} has {NAMES[name]}, so install no other; what did not "
            f"load is on this machine: {needs}"
        )
    how = INSTALL.get(name, f"install an ONNX Runtime with {NAMES[name]}")
    return f"{how} (the installed {wheel} {version} has {', '.join(offered)})"


def import_to_measure() -> Any:
    """The onnxruntime module, for `parity`.

    Raises:
        ProviderRunError: it is not installed.
    """
    return import_onnxruntime(ProviderRunError, hint=f"{INSTALL_HINT}, or `make setup`")


def _spelt(value: object) -> str:
    text = str(value).lower()
    return TRUTHS.get(text, text)
