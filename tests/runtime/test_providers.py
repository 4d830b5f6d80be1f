"""The first provider asked for must be what runs."""

from __future__ import annotations

import sys

import pytest

from trufor_onnx.runtime import ProviderError
from trufor_onnx.runtime.providers import (
    NAMES,
    checked,
    import_onnxruntime,
    require_available,
    require_options,
    require_ran,
    wanted,
)


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


@pytest.mark.parametrize("found", [{}, {"use_tf32": "1"}, {"use_tf32": "0"}])
def test_settings_that_are_not_in_force_are_refused(found: dict[str, str]) -> None:
    with pytest.raises(ProviderError, match="does not have the settings") as refusal:
        require_options("cuda", found)
    assert "cudnn_conv_algo_search is not named" in str(refusal.value)


def test_settings_in_force() -> None:
    require_options("cuda", {"use_tf32": "False", "cudnn_conv_algo_search": "heuristic"})
    require_options("openvino", {})  # it names none
    require_options("cpu", {})


@pytest.mark.parametrize("ran", [[], ["CPUExecutionProvider"], ["CPUExecutionProvider", "CUDA"]])
def test_another_one_ran(ran: list[str]) -> None:
    with pytest.raises(ProviderError, match="would run in its place") as refusal:
        require_ran("cuda", ran)
    assert "trufor-onnx[gpu]" in refusal.value.hint


def test_the_right_one_ran() -> None:
    require_ran("cuda", ["CUDAExecutionProvider", "CPUExecutionProvider"])
    require_available("cpu")


def test_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ProviderError, match="not installed") as refusal:
        import_onnxruntime()
    assert "pip install" in refusal.value.hint


def test_a_provider_that_the_installed_wheel_has_is_not_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under whatever name the wheel was installed: another one would overwrite its files."""
    import onnxruntime

    monkeypatch.setattr(
        "trufor_onnx.runtime.providers.onnxruntime_wheel", lambda: ("ort-nightly-gpu", "1.34")
    )
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(NAMES.values()))
    for name in ("cuda", "tensorrt", "openvino", "dml", "coreml"):
        with pytest.raises(ProviderError) as refusal:
            require_ran(name, ["CPUExecutionProvider"])
        assert f"the installed ort-nightly-gpu 1.34 has {NAMES[name]}" in refusal.value.hint
        assert "pip install" not in refusal.value.hint
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [NAMES["cpu"]])
    with pytest.raises(ProviderError) as refusal:
        require_ran("openvino", [])
    assert "pip install onnxruntime-openvino" in refusal.value.hint
    assert "the installed ort-nightly-gpu 1.34 has CPUExecutionProvider" in refusal.value.hint
