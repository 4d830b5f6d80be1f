"""What did not pass, in sentences, groups first."""

from __future__ import annotations

from typing import Any

from parity.report.problems import problems
from parity.results import SOURCE, Report, Status


def test_a_pass_has_none(passing: Report) -> None:
    assert problems(passing, 20) == []


def test_groups_first_then_images(mixed: Report) -> None:
    found = problems(mixed, 20)
    assert [line.split(":")[0] for line in found] == [
        *("fail", "error", "not run"),  # groups
        *("fail", "error", "not run", "error"),  # rows
    ]
    assert found[-1] == "error: gone.png net: damaged"


def test_many_are_counted(make: Any, build: Any) -> None:
    rows = [make.row(image=f"{n}", status=Status.FAIL, reason="far", mae=1.0) for n in range(9)]
    assert problems(build(rows), 4)[-1] == "and 6 more, all in parity.json"
    assert len(problems(build(rows), 4)) == 5


def test_a_run_that_proves_nothing_says_so(make: Any, build: Any) -> None:
    (only,) = problems(build([make.row(backend=SOURCE, mae=1e-6)]), 20)
    assert only.startswith("not run: nothing was compared")
