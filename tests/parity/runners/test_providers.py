"""A provider counts as present when a session says so itself; nothing else is believed."""

from __future__ import annotations

import sys

import pytest

from trufor_onnx.errors import ProviderRunError
from trufor_onnx.parity.runners import providers
from trufor_onnx.parity.runners.providers import (
    NAMES,
    Provider,
    parse_providers,
    require_options,
    require_ran,
)
from trufor_onnx.runtime.providers import wanted


def available(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(names))


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


@pytest.mark.parametrize("name", NAMES)
def test_a_session_that_says_another_provider_is_refused(name: str) -> None:
    provider = Provider(name, required=True)
    require_ran(provider, [NAMES[name], NAMES["cpu"]])
    for said in ([], ["AzureExecutionProvider", NAMES[name]]):
        with pytest.raises(ProviderRunError, match=f"{name} was asked for and .* ran"):
            require_ran(provider, said)


def test_the_hint_says_what_is_missing() -> None:
    with pytest.raises(ProviderRunError) as caught:
        require_ran(Provider("cuda", required=True), [NAMES["cpu"]])
    assert "CUDAExecutionProvider did not load" in caught.value.problem
    assert "trufor-onnx[gpu]" in caught.value.hint and "cuDNN" in caught.value.hint


def test_without_onnxruntime_there_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ProviderRunError, match="onnxruntime is not installed") as caught:
        providers.import_onnxruntime()
    assert "pip install" in caught.value.hint


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


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_settings_are_held_to_what_the_session_says(name: str) -> None:
    (provider,) = parse_providers(name)
    require_options(provider, provider.options | {"device_id": "0"})
    spelt = {key: {"0": "False"}.get(value, value) for key, value in provider.options.items()}
    require_options(provider, spelt)
    for key in provider.options:
        others = {k: v for k, v in provider.options.items() if k != key}
        for wrong in (others, others | {key: "1"}, others | {key: ""}):
            with pytest.raises(ProviderRunError, match=key):
                require_options(provider, wrong)


def test_a_provider_that_names_no_setting_is_believed_until_it_names_another() -> None:
    (openvino,) = parse_providers("openvino")
    require_options(openvino, {})
    with pytest.raises(ProviderRunError, match="device_type is GPU, not CPU"):
        require_options(openvino, {"device_type": "GPU"})


@pytest.mark.parametrize("name", NAMES)
def test_the_runtime_asks_for_what_was_measured(name: str) -> None:
    """Providers and settings, in order: what was not measured must not run."""
    (measured,) = parse_providers(name)
    asked = [
        entry if isinstance(entry, tuple) else (entry, {}) for entry in measured.session_providers()
    ]
    assert wanted([name]) == asked
