"""Execution providers by the names that users type. The first one asked for must run, or nothing.

ONNX Runtime lists providers that cannot load and replaces them by the CPU with a warning; so only
what a session says of itself counts. `parity` measures with the same settings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from trufor_onnx.errors import ProviderError
from trufor_onnx.export.graph.finish import onnxruntime_wheel

CPU, CUDA, TENSORRT, OPENVINO = "cpu", "cuda", "tensorrt", "openvino"
NAMES = {
    CPU: "CPUExecutionProvider",
    CUDA: "CUDAExecutionProvider",
    TENSORRT: "TensorrtExecutionProvider",
    OPENVINO: "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "dml": "DmlExecutionProvider",
}
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


def require_options(name: str, found: Mapping[str, str]) -> None:
    """Refuse a session whose provider has other settings than those that parity measures with.

    Args:
        name: of the provider.
        found: as for `not_in_force`.

    Raises:
        ProviderError: a setting has another value, or is not there where all are named.
    """
    wrong = not_in_force(name, OPTIONS.get(name, {}), found)
    if wrong:
        raise ProviderError(
            f"{name} does not have the settings that it was given: {wrong}",
            hint="its results would not be those that were measured; install another ONNX Runtime",
        )


def require_available(name: str) -> None:
    """Refuse a provider that this build of ONNX Runtime does not have at all.

    Raises:
        ProviderError: see above.
    """
    if NAMES[name] not in import_onnxruntime().get_available_providers():
        raise _absent(name, f"this build of ONNX Runtime has no {NAMES[name]}")


def require_ran(name: str, session_providers: Sequence[str]) -> None:
    """Refuse a session that fell back to another provider.

    Args:
        name: what was asked for.
        session_providers: what the session says of itself (``session.get_providers()``).

    Raises:
        ProviderError: the session's first provider is not the one asked for.
    """
    ran = session_providers[0] if session_providers else "nothing"
    if ran != NAMES[name]:
        raise _absent(name, f"{ran} would run in its place")


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


def import_onnxruntime() -> Any:
    """The onnxruntime module, its reports to its maker turned off unless somebody turned them on.

    Raises:
        ProviderError: it is not installed.
    """
    # Official builds report to Microsoft what they run; read once, when the library is loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ProviderError(
            "onnxruntime is not installed",
            hint="pip install 'trufor-onnx[cpu]' or 'trufor-onnx[gpu]'",
        ) from error
    return onnxruntime


def _spelt(value: object) -> str:
    text = str(value).lower()
    return TRUTHS.get(text, text)


def _absent(name: str, why: str) -> ProviderError:
    return ProviderError(f"{name} was asked for and did not load: {why}", hint=install_hint(name))
