"""A provider counts as present when a session says so itself; nothing else is believed."""

from __future__ import annotations

import sys

import pytest

from parity.errors import ProviderError
from parity.runners import providers
from parity.runners.providers import NAMES, Provider, parse_providers, require_ran


def available(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(names))


def test_names_in_the_order_given_each_once() -> None:
    found = parse_providers(" cuda , cpu,cuda,")
    assert [provider.name for provider in found] == ["cuda", "cpu"]
    assert all(provider.required for provider in found)


@pytest.mark.parametrize("text", ["gpu", "cpu,gpu", "CPU", "auto,cpu", "", " , ", "cpu;cuda"])
def test_an_unknown_name_or_none_is_an_error_that_lists_them(text: str) -> None:
    with pytest.raises(ProviderError) as caught:
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
        with pytest.raises(ProviderError, match=f"{name} was asked for and .* ran"):
            require_ran(provider, said)


def test_the_hint_says_what_is_missing() -> None:
    with pytest.raises(ProviderError) as caught:
        require_ran(Provider("cuda", required=True), [NAMES["cpu"]])
    assert "CUDAExecutionProvider did not load" in caught.value.problem
    assert "trufor-onnx[gpu]" in caught.value.hint and "cuDNN" in caught.value.hint


def test_without_onnxruntime_there_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ProviderError, match="onnxruntime is not installed") as caught:
        providers.import_onnxruntime()
    assert "pip install" in caught.value.hint
