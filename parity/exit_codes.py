"""How a report's status becomes a process's exit code."""

from __future__ import annotations

from chunking.console import EXIT_COULD_NOT, EXIT_FAILED, EXIT_OK
from parity.results import Status

EXIT_CODES = {
    Status.PASS: EXIT_OK,
    Status.FAIL: EXIT_FAILED,
    Status.ERROR: EXIT_COULD_NOT,
    Status.NOT_RUN: EXIT_COULD_NOT,
}
