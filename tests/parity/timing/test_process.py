"""A worker process: what it answers, how it fails, that it never stays, its peak memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from trufor_onnx.errors import ParityError, ProviderRunError
from trufor_onnx.parity.results.timing import TimingOutcome
from trufor_onnx.parity.timing import contest as process
from trufor_onnx.parity.timing import worker as peak
from trufor_onnx.parity.timing.contest import Worker, measure_memory
from trufor_onnx.parity.timing.worker import peak_bytes

GROW = """
from trufor_onnx.parity.timing.worker import peak_bytes
before = peak_bytes()
block = bytearray(64 << 20)
block[::4096] = b"x" * len(block[::4096])
del block
print(before, peak_bytes())
"""


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_a_worker_calls_saves_and_tells_its_memory(task: Any, tmp_path: Path) -> None:
    before = children()
    with Worker(task()) as worker:
        assert children() > before
        assert worker.session_ns > 0 and worker.first_call_ns > 0
        samples = worker.call(3)
        assert len(samples) == 3 and all(sample > 0 for sample in samples)
        assert worker.call(0) == []
        peak = worker.ask("peak")
        assert 10e6 < peak["baseline_bytes"] <= peak["peak_bytes"]
        worker.ask("save", path=str(tmp_path / "out.npz"))
        with pytest.raises(ParityError, match="unknown command 'dance'"):
            worker.ask("dance")
        assert len(worker.call(1)) == 1  # an error does not end it
    assert children() == before
    with np.load(tmp_path / "out.npz") as outputs:
        assert (outputs["y"] == 1.0).all()


def test_an_output_that_is_no_number_is_an_error(task: Any) -> None:
    before = children()
    with pytest.raises(ParityError, match="output y is not finite"):
        Worker(task("Log"))
    assert children() == before


def test_a_file_that_is_no_model_is_an_error(task: Any, tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="cannot load it on cpu"):
        Worker(task(path=str(tmp_path / "none.onnx")))


def test_a_device_that_is_absent_is_a_provider_error(task: Any) -> None:
    with pytest.raises(ProviderRunError, match="CUDAExecutionProvider did not load"):
        Worker(task(provider="cuda"))


def test_a_worker_that_dies_says_how(task: Any) -> None:
    before = children()  # of earlier tests, such as a pool's resource tracker
    with Worker(task()) as worker:
        (pid,) = children() - before
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ParityError, match="ended with code -9"):
            worker.call(1)
        with pytest.raises(ParityError, match="ended with code -9"):
            worker.call(1)


def test_a_worker_that_cannot_start_shows_its_last_words(
    task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "MODULE", "trufor_onnx.parity.timing.none")
    with pytest.raises(
        ParityError, match=r"code 1 \(.*No module named trufor_onnx.parity.timing.none\)"
    ):
        Worker(task())


def test_a_worker_ends_with_its_parent_and_leaves_ctrl_c_to_it(task: Any) -> None:
    """Its input ends when the parent is gone, however that went."""
    command = [sys.executable, "-m", process.MODULE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        line = {"do": "open", "task": task().document()}
        child.stdin.write(json.dumps(line).encode() + b"\n")
        child.stdin.flush()
        assert "session_ns" in json.loads(child.stdout.readline())
        child.send_signal(signal.SIGINT)
        child.stdin.write(b'{"do": "call", "count": 1}\n')
        child.stdin.flush()
        assert len(json.loads(child.stdout.readline())["ns"]) == 1
        child.stdin.close()
        assert child.wait(timeout=60) == 0


def test_what_a_library_prints_does_not_come_between_the_answers(task: Any) -> None:
    script = (
        "import os, sys\n"
        "from trufor_onnx.parity.timing import worker\n"
        "answer = worker.Stand.answer\n"
        "def noisy(stand, command):\n"
        "    os.write(1, b'library says hello\\n'); print('hello', flush=True)\n"
        "    return answer(stand, command)\n"
        "worker.Stand.answer = noisy\n"
        "sys.exit(worker.main())\n"
    )
    line = json.dumps({"do": "open", "task": task().document()}) + "\n"
    done = subprocess.run(
        [sys.executable, "-c", script], input=line, capture_output=True, text=True, check=True
    )
    assert set(json.loads(done.stdout)) == {"session_ns", "first_call_ns"}
    assert done.stderr.count("hello") == 2


def test_the_peak_stays_when_the_memory_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", GROW], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 60 << 20 < after - before < 80 << 20


def test_a_small_child_of_a_large_parent_is_small() -> None:
    """What ``ru_maxrss`` gets wrong: it would begin with this process's own size."""
    block = bytearray(256 << 20)
    block[::4096] = b"x" * len(block[::4096])
    done = subprocess.run([sys.executable, "-c", GROW], capture_output=True, text=True, check=True)
    assert psutil.Process().memory_info().rss > 256 << 20
    assert int(done.stdout.split()[1]) < 200 << 20


def test_without_proc_the_resource_module_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exact = peak_bytes()
    monkeypatch.setattr(peak, "_STATUS", tmp_path / "none")
    assert exact * 0.9 < peak_bytes()
    (tmp_path / "none").write_text("Name: x\n")
    assert exact * 0.9 < peak_bytes()


def test_a_contestant_s_memory_and_what_prevents_it(task: Any, contestant: Any) -> None:
    found = measure_memory(contestant(), task(), (8, 8))
    assert found.outcome is TimingOutcome.MEASURED
    assert found.added_bytes is not None and found.added_bytes > 0
    assert found.baseline_bytes is not None and found.baseline_bytes > 10e6
    bad = measure_memory(contestant(), task("Log"), (8, 8))
    assert (bad.outcome, bad.peak_bytes) == (TimingOutcome.ERROR, None)
    assert "not finite" in bad.reason
    for required, outcome in ((True, TimingOutcome.ERROR), (False, TimingOutcome.NOT_RUN)):
        given = task(provider="cuda", required=required)
        assert measure_memory(contestant(provider="cuda"), given, (8, 8)).outcome is outcome
