"""The peak memory of a contestant, in a fresh process."""

from __future__ import annotations

from parity.errors import ParityError, ProviderError
from parity.latency.plan import Size, Task
from parity.latency.process import Worker
from parity.latency.results import Contestant, Memory, Outcome


def measure_memory(contestant: Contestant, task: Task, size: Size) -> Memory:
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
        absent = isinstance(error, ProviderError) and not task.required
        outcome = Outcome.NOT_RUN if absent else Outcome.ERROR
        return Memory(contestant, height, width, outcome, error.problem)
    return Memory(
        contestant,
        height,
        width,
        Outcome.MEASURED,
        baseline_bytes=found["baseline_bytes"],
        peak_bytes=found["peak_bytes"],
    )
