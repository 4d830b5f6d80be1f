"""What is judged and against what: any report is a baseline, a wrong one an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def test_a_baseline_is_any_report_and_a_wrong_one_is_exit_2(good: Any, tmp_path: Path) -> None:
    assert good.judged(good.report).exit_code == 0
    from trufor_onnx.errors import ParityError

    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ParityError, match=r"x\.json"):
        good.judged(tmp_path / "x.json")


def test_a_folder_that_is_no_release(good: Any, tmp_path: Path) -> None:
    from trufor_onnx.errors import ParityError

    with pytest.raises(ParityError, match=r"no release, it has no parity\.json"):
        good.judged(tmp_path)
