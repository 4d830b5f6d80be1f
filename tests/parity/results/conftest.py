"""Reports and benchmarks that nothing ran for, as the tests of their pages have them."""

from __future__ import annotations

from tests.parity.report.conftest import build_fixture, hostile, mixed, passing
from tests.parity.timing.conftest import contestant_fixture, latency_fixture, report_fixture

__all__ = [
    "build_fixture",
    "contestant_fixture",
    "hostile",
    "latency_fixture",
    "mixed",
    "passing",
    "report_fixture",
]
