"""``python -m trufor_onnx.parity.timing.worker``: one contestant in a process of its own.

Commands come as JSON lines on standard input, each is answered by one line. Between commands the
process waits in a read and uses no processor. It ends when its input does, also when the parent
was killed; Ctrl-C is the parent's affair.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from trufor_onnx.documents import parse_json
from trufor_onnx.errors import ParityError, ProviderRunError, UserError
from trufor_onnx.parity.runners.base import Feeds, Outputs, Runner
from trufor_onnx.parity.timing.plan import ONNXRUNTIME, Task

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """The largest resident set that this process has had, in bytes.

    Linux's ``VmHWM`` counts from the program's start. ``ru_maxrss`` begins with what the parent
    had when it started this one, and serves only where there is no ``/proc``.
    """
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    found = [line.split() for line in lines if line.startswith("VmHWM:")]
    if found:
        return int(found[0][1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Stand:
    """What the worker holds between commands."""

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._feeds: Feeds = {}
        self._outputs: Outputs = {}
        self._baseline = 0

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what a command says.

        Raises:
            UserError: it cannot be done.
        """
        match command["do"]:
            case "open":
                return self._open(Task(**command["task"]))
            case "call":
                return {"ns": self._call(command["count"])}
            case "peak":
                return {"baseline_bytes": self._baseline, "peak_bytes": peak_bytes()}
            case "save":
                with Path(command["path"]).open("wb") as stream:
                    np.savez(stream, **self._outputs)  # type: ignore[arg-type] # names are ours
                return {}
        raise ParityError(f"unknown command {command['do']!r}", hint="a fault in the caller")

    def _open(self, task: Task) -> dict[str, Any]:
        with np.load(task.inputs) as arrays:
            self._feeds = {name: arrays[name] for name in arrays.files}
        backend = ONNXRUNTIME if task.backend == ONNXRUNTIME else "torch"
        importlib.import_module(backend)  # neither the session's time nor its memory
        gc.collect()
        self._baseline = peak_bytes()
        make = _onnxruntime if task.backend == ONNXRUNTIME else _torch
        ready = make(task, self._feeds)
        start = time.perf_counter_ns()
        self._runner = ready()
        session_ns = time.perf_counter_ns() - start
        gc.disable()  # a collection would fall into somebody's turn
        (first_ns,) = self._call(1)
        return {"session_ns": session_ns, "first_call_ns": first_ns}

    def _call(self, count: int) -> list[int]:
        """Time calls, inputs and outputs on the host. The last outputs must be finite."""
        assert self._runner is not None
        samples = []
        for _ in range(count):
            self._outputs = {}  # the last outputs' memory is free again, as for a caller
            start = time.perf_counter_ns()
            self._outputs = self._runner.run(self._feeds)
            samples.append(time.perf_counter_ns() - start)
        for name, array in self._outputs.items():
            if not np.isfinite(array).all():
                raise ParityError(
                    f"output {name} is not finite", hint="compare it first: `parity run`"
                )
        return samples


def _onnxruntime(task: Task, feeds: Feeds) -> Callable[[], Runner]:
    from trufor_onnx.parity.runners.onnxruntime_runner import OnnxRuntimeRunner
    from trufor_onnx.providers import CPU, OPTIONS, Provider

    options = OPTIONS.get(task.provider, {})
    provider = Provider(task.provider, required=task.required, options=options)
    path = Path(task.path)
    if provider.name != CPU:  # a device that computes nothing must not be timed as one
        with OnnxRuntimeRunner(path, provider, threads=task.threads, profile=True) as trial:
            trial.run(feeds)
    return lambda: OnnxRuntimeRunner(path, provider, threads=task.threads, spinning=task.spinning)


def _torch(task: Task, _: Feeds) -> Callable[[], Runner]:
    from trufor_onnx.export.networks.registry import find
    from trufor_onnx.export.weights.sources import WeightsSource
    from trufor_onnx.parity.runners.torch_runner import TorchRunner

    spec = find(task.model)
    source = WeightsSource(Path(task.weights) if task.weights else None, task.stand_in)
    weights = source.weights_for(spec, spec.build())
    return lambda: TorchRunner(spec, weights, precision=32, threads=task.threads)


def main() -> int:
    """Answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Libraries may print: what they say must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    stand = Stand()
    for line in sys.stdin:
        _tell(answers, _answer(stand, parse_json(line)))
    return 0


def _answer(stand: Stand, command: dict[str, Any]) -> dict[str, Any]:
    try:
        return stand.answer(command)
    except UserError as error:
        absent = isinstance(error, ProviderRunError)
        return {"problem": error.problem, "hint": error.hint, "absent": absent}


def _tell(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
