"""``python -m runtime.serve``: wrong usage, and a server that starts and ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from trufor_onnx.runtime.serve.cli import main

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-megabytes", "0"],
        ["--onnx-models", "nowhere", "--port", "0"],
        ["--port", "99999"],
        ["--host", "192.0.2.1", "--port", "0"],
    ],
)
def test_wrong_usage_is_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn", reason="the page's server is not installed")
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert "hint: " in printed


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn", reason="the page's server is not installed")
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert main(["--port", str(other.getsockname()[1])]) == 2
    assert "--port 0" in capsys.readouterr().err


def test_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main([]) == 2
    assert "pip install 'trufor-onnx[serve]'" in capsys.readouterr().err


def test_it_starts_answers_and_ends(tiny_models: Path, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the page's server is not installed")
    command = [sys.executable, "-m", "runtime.serve", "--port", "0"]
    command += ["--onnx-models", str(tiny_models)]
    child = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        address = child.stdout.readline().split()[0]
        assert address.startswith("http://127.0.0.1:")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=60) as answer:
            assert b"Is this image forged?" in answer.read()
        child.send_signal(signal.SIGINT)
        _, printed = child.communicate(timeout=60)
        assert child.returncode == 130
        assert "STAND-IN WEIGHTS" in printed
        assert "Traceback" not in printed
    finally:
        child.kill()
        child.wait()
