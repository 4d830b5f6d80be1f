"""A worker process as its parent sees it: started, asked, and never left behind."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any, Self

from trufor_onnx.errors import ParityError, ProviderRunError
from trufor_onnx.parity.results.timing import Contestant, MemoryFigures, TimingOutcome
from trufor_onnx.parity.timing.plan import Size, Task

MODULE = "trufor_onnx.parity.timing.worker"
SHOWN = 300  # characters of what a dead worker said last


class Worker:
    """One process that runs one task on command, and waits in between.

    Args:
        task: what it runs.

    Attributes:
        session_ns: the time to make the session.
        first_call_ns: the first call.

    Raises:
        ProviderError: the provider is not there, or computes nothing.
        ParityError: it cannot run the task, or it died.
    """

    def __init__(self, task: Task) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        try:
            opened = self.ask("open", task=task.document())
        except BaseException:
            self.close()
            raise
        self.session_ns: int = opened["session_ns"]
        self.first_call_ns: int = opened["first_call_ns"]

    def call(self, count: int) -> list[int]:
        """Let it make so many calls. Returns their times in ns."""
        samples: list[int] = self.ask("call", count=count)["ns"]
        return samples

    def ask(self, what: str, **details: Any) -> dict[str, Any]:
        """Send one command and wait for its answer.

        Raises:
            ProviderError, ParityError: as the worker says; it died.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(json.dumps({"do": what, **details}).encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line.endswith(b"\n"):
            raise ParityError(
                f"its process ended with code {self._process.wait()}{self._last_words()}",
                hint="-9 is what the system does where memory ran out: smaller --sizes",
            )
        answer: dict[str, Any] = json.loads(line)
        if "problem" in answer:
            kind = ProviderRunError if answer["absent"] else ParityError
            raise kind(answer["problem"], hint=answer["hint"])
        return answer

    def close(self) -> None:
        """End the process at once, whatever it does."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:  # an unsent command to a dead process
                    continue
        self._process.wait()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f" ({lines[-1][:SHOWN]})" if lines else ""


def measure_memory(contestant: Contestant, task: Task, size: Size) -> MemoryFigures:
    """The peak memory of a contestant in a fresh process that runs its inputs twice.

    Args:
        contestant: who, for the row.
        task: what the process runs.
        size: height and width, for the row.
    """
    height, width = size
    try:
        with Worker(task) as worker:
            worker.call(1)
            found = worker.ask("peak")
    except ParityError as error:
        absent = isinstance(error, ProviderRunError) and not task.required
        outcome = TimingOutcome.NOT_RUN if absent else TimingOutcome.ERROR
        return MemoryFigures(contestant, height, width, outcome, error.problem)
    return MemoryFigures(
        contestant,
        height,
        width,
        TimingOutcome.MEASURED,
        baseline_bytes=found["baseline_bytes"],
        peak_bytes=found["peak_bytes"],
    )
