"""What ran where is in every report of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_json_markdown_and_terminal_say_where_the_nodes_ran(
    parity: Any,
    exported: Callable[[str], Path],
    make_images: Callable[..., Path],
    tmp_path: Path,
) -> None:
    exported("tiny_np")
    make_images(1)
    ran = parity("--providers", "auto", shapes=False)
    assert ran.code == 0, ran.err
    placement = ran.report["models"]["tiny_np"]["placement"]
    assert set(placement) == {"cpu"}  # CUDA is absent: its rows are "not run"
    found = placement["cpu"]
    assert set(found["nodes"]) == {"CPUExecutionProvider"}
    assert found["time_share"] == {"CPUExecutionProvider": 1.0}
    assert (found["fell_back_ops"], found["unconfirmed"]) == ({}, [])
    words = "tiny_np on cpu: "
    assert words in ran.out and "CPUExecutionProvider (100 % of the time)" in ran.out
    assert words in (tmp_path / "out" / "parity.md").read_text()
