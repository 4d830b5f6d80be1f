"""What the files of a release are like: their size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.parity.gate.conftest import of
from trufor_onnx.parity.results.findings import Outcome

Make = Callable[..., Any]


def test_a_size_that_no_baseline_has_is_not_judged(good: Any, write_bench: Make) -> None:
    bench = write_bench("bench", sha256=good.sha256)
    assert of(good.judged(good.report), "size").outcome is Outcome.PASS
    assert of(good.judged(), "size").outcome is Outcome.PASS  # a first release: the budget alone
    found = of(good.judged(bench, bench=bench), "size")
    assert found.outcome is Outcome.NOT_JUDGED
