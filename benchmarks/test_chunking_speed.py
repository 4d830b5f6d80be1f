"""``make bench``: split and merge of a 260 MB model against the shell commands they replace.

Prints ratios of neighbouring runs; times alone say little on a shared machine. The same, with
more rounds and both orders: ``python benchmarks/chunking_ratio.py``.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROUNDS = 5


@pytest.fixture(scope="module")
def ratio() -> ModuleType:
    """`chunking_ratio.py`, which lies beside this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        import chunking_ratio
    return chunking_ratio


@pytest.fixture(scope="module")
def contests(ratio: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The contests, on one model."""
    found: list[Any] = ratio.contests(tmp_path_factory.mktemp("chunking"))
    return found


@pytest.mark.parametrize("index", [0, 1], ids=["merge", "split"])
def test_speed(
    index: int, contests: list[Any], benchmark: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Time ours, each run after one of the baseline."""
    contest = contests[index]

    def baseline_first() -> None:
        contest.prepare()
        contest.run_baseline()
        contest.prepare()

    benchmark.pedantic(contest.run_ours, setup=baseline_first, rounds=ROUNDS)
    assert len(contest.ratios()) == ROUNDS
    benchmark.extra_info["ratio"] = statistics.median(contest.ratios())
    with capsys.disabled():
        print(f"\n{contest.report()}")
