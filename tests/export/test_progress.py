"""The bar is drawn on a terminal and nowhere else."""

from __future__ import annotations

import io

from rich.console import Console

from trufor_onnx.export.cli import download_progress


def shown(terminal):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100)
    with download_progress("TruFor_weights.zip", console) as progress:
        progress(0, None)
        progress(500_000, 1_000_000)
        progress(1_000_000, 1_000_000)
    return stream.getvalue()


def test_bar_on_a_terminal():
    assert "TruFor_weights.zip" in shown(True)
    assert "1.0/1.0 MB" in shown(True)


def test_quiet_elsewhere():
    assert shown(False).strip() == ""
