"""The live view: a table and a bar on a terminal, silence elsewhere."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from trufor_onnx.parity.commands.run import SHOWN, LiveView


def watched(terminal: bool, make: Any, cases: int) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=160, highlight=False)
    with LiveView(console) as view:
        view.say("loading weights")
        view.model("net", cases)
        for number in range(cases):
            view.rows([make.row(image=f"image {number}")])
        console.print(view._render())
    return stream.getvalue()


def test_the_latest_rows_and_the_progress_are_shown(make: Any) -> None:
    text = watched(True, make, SHOWN + 3)
    last = text[text.rindex("┃") :]
    assert f"image {SHOWN + 2} " in last and "image 2 " not in last
    assert f"{SHOWN + 3}/{SHOWN + 3}" in last


def test_nothing_moves_where_there_is_no_terminal(make: Any) -> None:
    text = watched(False, make, 2)
    assert text.count("image 1 ") == 1  # what the test itself prints
    assert "\x1b" not in text


def test_a_case_without_rows_is_no_progress(make: Any) -> None:
    stream = io.StringIO()
    with LiveView(Console(file=stream, force_terminal=True, width=160)) as view:
        view.model("net", 2)
        view.rows([])
        view.rows([make.row()])
        (task,) = view._progress.tasks
        assert (task.completed, task.total, task.description) == (1, 2, "net")
