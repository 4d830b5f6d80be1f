"""Calls into native code can be interrupted; a session is believed only in what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from trufor_onnx.providers import NAMES
from trufor_onnx.runtime import ProviderError
from trufor_onnx.runtime.session import (
    ended,
    interruptible,
    require_available,
    require_options,
    require_ran,
)

ROOT = Path(__file__).resolve().parents[2]


def stop() -> None:
    raise AssertionError("nobody interrupted")


def fail() -> None:
    raise ValueError("seen")


def test_results_and_errors_pass() -> None:
    assert interruptible(lambda: 5, stop, (ValueError,)) == 5
    with pytest.raises(ValueError, match="seen"):
        interruptible(fail, stop, (ValueError,))
    assert ended(3) == 3


def test_in_other_threads_too() -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(interruptible(lambda: 5, stop, ())))
    thread.start()
    thread.join()
    assert found == [5]


PROGRAM = """
import sys, threading
from trufor_onnx.runtime.session import ended, interruptible
forever = threading.Event()
asked = threading.Event()

def wait():
    print("ready", flush=True)
    forever.wait()

try:
    interruptible(wait, asked.set, ())
except KeyboardInterrupt:
    print("asked" if asked.is_set() else "not asked")
    ended(130)
print("did not end")
"""


def test_an_interrupt_does_not_wait(tmp_path: Path) -> None:
    """The call never ends; the process does."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    printed, _ = child.communicate(timeout=60)
    assert printed == "asked\n"
    assert child.returncode == 130


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


def test_a_provider_that_the_installed_wheel_has_is_not_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under whatever name the wheel was installed: another one would overwrite its files."""
    import onnxruntime

    monkeypatch.setattr(
        "trufor_onnx.providers.onnxruntime_wheel", lambda: ("ort-nightly-gpu", "1.34")
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
