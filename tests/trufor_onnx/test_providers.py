"""Providers by their names: the same settings wherever they run."""

from __future__ import annotations

import pytest

from trufor_onnx.errors import ProviderRunError
from trufor_onnx.providers import MEASURED, NAMES, Provider, checked, parse_providers, wanted


def available(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(names))


def test_names_each_once() -> None:
    assert checked(("cuda", "cpu", "cuda")) == ("cuda", "cpu")
    assert checked("cpu") == ("cpu",)


def test_the_cpu_is_behind_every_device() -> None:
    assert [name for name, _ in wanted(["cuda"])] == [NAMES["cuda"], NAMES["cpu"]]
    assert [name for name, _ in wanted(["cpu"])] == [NAMES["cpu"]]
    assert [name for name, _ in wanted(["cpu", "cuda"])] == [NAMES["cpu"], NAMES["cuda"]]
    assert dict(wanted(["cuda"]))[NAMES["cuda"]]["use_tf32"] == "0"


@pytest.mark.parametrize(
    "names", [["tensorrt"], ["tensorrt", "cpu"], ["tensorrt", "cuda"], ["tensorrt", "cpu", "cuda"]]
)
def test_what_takes_over_comes_behind_its_device(names: list[str]) -> None:
    tensorrt, cuda, cpu = NAMES["tensorrt"], NAMES["cuda"], NAMES["cpu"]
    assert [name for name, _ in wanted(names)] == [tensorrt, cuda, cpu]
    assert [name for name, _ in wanted(["tensorrt", "openvino"])] == [
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "OpenVINOExecutionProvider",
        "CPUExecutionProvider",
    ]


def test_names_in_the_order_given_each_once() -> None:
    found = parse_providers(" cuda , cpu,cuda,")
    assert [provider.name for provider in found] == ["cuda", "cpu"]
    assert all(provider.required for provider in found)


@pytest.mark.parametrize("text", ["gpu", "cpu,gpu", "CPU", "auto,cpu", "", " , ", "cpu;cuda"])
def test_an_unknown_name_or_none_is_an_error_that_lists_them(text: str) -> None:
    with pytest.raises(ProviderRunError) as caught:
        parse_providers(text)
    assert "cpu, cuda, tensorrt, openvino" in caught.value.hint


def test_auto_requires_the_cpu_alone_and_always_shows_cuda(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    available(monkeypatch, "AzureExecutionProvider", NAMES["cpu"])
    assert [(p.name, p.required) for p in parse_providers("auto")] == [
        ("cpu", True),
        ("cuda", False),
    ]
    available(monkeypatch, *NAMES.values())
    assert [(p.name, p.required) for p in parse_providers("auto")] == [
        ("cpu", True),
        ("cuda", False),
        ("tensorrt", False),
        ("openvino", False),
    ]


def test_what_moves_rounding_is_pinned() -> None:
    (cuda,) = parse_providers("cuda")
    assert cuda.options["use_tf32"] == "0"
    assert cuda.options["cudnn_conv_algo_search"] in ("HEURISTIC", "DEFAULT")


def test_sessions_are_asked_for_the_device_first_and_the_cpu_last() -> None:
    (cuda,) = parse_providers("cuda")
    assert cuda.session_providers() == [(NAMES["cuda"], cuda.options), NAMES["cpu"]]
    (tensorrt,) = parse_providers("tensorrt")
    assert tensorrt.session_providers() == [
        (NAMES["tensorrt"], tensorrt.options),
        (NAMES["cuda"], cuda.options),  # pinned there too
        NAMES["cpu"],
    ]
    assert Provider("cpu", required=True).session_providers() == [(NAMES["cpu"], {})]


def test_engines_are_never_taken_from_a_cache_nor_rounded() -> None:
    (tensorrt,) = parse_providers("tensorrt")
    assert set(tensorrt.options.values()) == {"0"}
    assert {"trt_engine_cache_enable", "trt_fp16_enable"} <= set(tensorrt.options)
    (openvino,) = parse_providers("openvino")
    assert openvino.options == {"device_type": "CPU", "precision": "FP32"}


@pytest.mark.parametrize("name", MEASURED)
def test_the_runtime_asks_for_what_was_measured(name: str) -> None:
    """Providers and settings, in order: what was not measured must not run."""
    (measured,) = parse_providers(name)
    asked = [
        entry if isinstance(entry, tuple) else (entry, {}) for entry in measured.session_providers()
    ]
    assert wanted([name]) == asked
