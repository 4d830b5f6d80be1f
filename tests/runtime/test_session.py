"""Calls into native code: results and errors pass, an interrupt leaves at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from trufor_onnx.runtime.session import ended, interruptible

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
