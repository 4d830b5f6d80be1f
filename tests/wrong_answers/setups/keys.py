"""Stored references, rows of other backends, the last release's outputs, costs."""

from __future__ import annotations

from tests.wrong_answers.workshop import Workshop, set_up

RELU = "from torch import nn\n\n\ndef act():\n    return nn.ReLU()\n"
GELU = RELU.replace("ReLU", "GELU")


def _uses_blocks(w: Workshop) -> tuple[object, ...]:
    """`UsesBlocks` exported and run once; the options of the run."""
    (w.site / "blocks.py").write_text(RELU)
    w.network("uses_blocks", "UsesBlocks")
    options = ("--models", "uses_blocks", "--stand-in", "a", "--images", w.images())
    ran = w.run("parity", "run", *options)
    assert ran.code == 0, ran.text
    return options


@set_up(
    "3a",
    "UsesBlocks: run, change blocks.py to GELU, run",
    "references computed anew; the old file fails",
)
def changed_import(w: Workshop) -> str:
    options = _uses_blocks(w)
    first = w.report()["models"]["uses_blocks"]["references"]
    again = w.run("parity", "run", *options)
    assert again.code == 0, again.text
    counts = w.report()["models"]["uses_blocks"]["references"]
    assert counts["computed"] == 0, counts  # unchanged: all from the cache
    (w.site / "blocks.py").write_text(GELU)
    changed = w.run("parity", "run", *options)
    counts = w.report()["models"]["uses_blocks"]["references"]
    assert counts == first and changed.code == 1, (counts, changed.text)
    return f"exit 1, {counts['computed']} references computed anew"


@set_up(
    "3b",
    "the same where blocks is an installed distribution that gets another version",
    "references computed anew; the old file fails",
)
def changed_distribution(w: Workshop) -> str:
    info = w.site / "blocks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blocks\nVersion: 1.0\n")
    (info / "RECORD").write_text("blocks.py,sha256=a,10\n")
    options = _uses_blocks(w)
    first = w.report()["models"]["uses_blocks"]["references"]
    (w.site / "blocks.py").write_text(GELU)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blocks\nVersion: 1.1\n")
    changed = w.run("parity", "run", *options)
    counts = w.report()["models"]["uses_blocks"]["references"]
    assert counts == first and changed.code == 1, (counts, changed.text)
    return f"exit 1, {counts['computed']} references computed anew"


@set_up(
    "3c",
    "the same where blocks is imported from a folder that the network adds to sys.path",
    "nothing is kept; the old file fails",
)
def hidden_import(w: Workshop) -> str:
    lib = w.folder / "lib"
    lib.mkdir()
    text = (
        "import sys\nfrom torch import nn\n\n\ndef build():\n"
        f"    sys.path.insert(0, {str(lib)!r})\n    from hidden import act\n\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), act(), nn.Conv2d(4, 1, 1))\n"
    )
    (w.site / "adds_path.py").write_text(text)
    (lib / "hidden.py").write_text(RELU)
    w.network("adds_path", "adds_path:build")
    options = ("--models", "adds_path", "--stand-in", "a", "--images", w.images())
    ran = w.run("parity", "run", *options)
    assert ran.code == 0, ran.text
    (lib / "hidden.py").write_text(GELU)
    changed = w.run("parity", "run", *options)
    assert changed.code == 1, changed.text
    assert "references are not kept" in changed.err, changed.err
    return "exit 1, no cache, said"
