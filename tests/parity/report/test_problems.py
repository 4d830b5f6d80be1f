"""What did not pass, in sentences, groups first."""

from __future__ import annotations

from typing import Any

from trufor_onnx.parity.report.sentences import problems
from trufor_onnx.parity.results.rows import SOURCE, Report, Status


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
    rows = [
        make.row(image=f"{n}", status=Status.FAIL, reason=f"far {'x' * n}", mae=1.0)
        for n in range(9)
    ]
    assert problems(build(rows), 4)[-1] == "and 6 more, all in parity.json"
    assert len(problems(build(rows), 4)) == 5


def test_a_reason_is_said_once(make: Any, build: Any) -> None:
    """Thirty rows said the same thing on thirty lines, or with another figure in it."""
    rows = [
        make.row(image=f"{n}.png", status=Status.FAIL, reason=f"mae {n}.5e-03 is over 0.1", mae=1.0)
        for n in range(30)
    ]
    found = problems(build(rows), 20)
    assert len(found) == 2  # the output as a whole, and its rows
    assert found[1] == "fail: 30 comparisons: mae 0.5e-03 is over 0.1 (first: 0.png net map)"


def test_a_run_that_proves_nothing_says_so(make: Any, build: Any) -> None:
    (only,) = problems(build([make.row(backend=SOURCE, mae=1e-6)]), 20)
    assert only.startswith("not run: nothing was compared")
